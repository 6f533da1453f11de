// The supervisor as a process: every kind of it, driven by messages.
//
// Rules
// 1. It does one thing at a time (`doing_`). Stopping children is a state machine: it sends, arms a tick and returns to
//    its mailbox; no stack waits. Only a child's start function runs, and may wait, on the supervisor's stack.
// 2. What arrives while it is busy is kept in `held_`, in order, and handled when it is idle again. Not kept: ends of
//    the children that are being stopped, ticks, sys requests, and the order to end, which goes before everything.
// 3. `held_`, `asker_` and `ticket_` change inside a runtime_bracket only: an abandonment reads them from another
//    thread, to fail those who wait.
// 4. After user code has run (a start function, init), being_ended() is asked before anything else is done.
#pragma once
#include "behaviours/child_table.hpp"
#include "behaviours/debugging.hpp"
#include "behaviours/partition_routes.hpp"
#include "behaviours/restart_window.hpp"
#include "behaviours/supervisor_report.hpp"
#include "behaviours/supervisor_request.hpp"

#include <map>

namespace otp::detail {

class supervisor_core final : public process_body {
 public:
  supervisor_core(std::unique_ptr<plan_maker> maker, const std::string_view& type, std::string_view module,
                  const start_options& options, start_ticket* ticket);
  ~supervisor_core() override;

  bool start() override;
  void receive(envelope* e) override;
  bool has_work() const noexcept override;
  void work() override;
  void ended(const exit_reason& why) noexcept override;
  void given_up(const exit_reason& why) noexcept override;
  start_ticket* release_ticket() noexcept override { return std::exchange(ticket_, nullptr); }
  const std::string_view& type() const noexcept override { return type_; }
  std::string_view doing() const noexcept override { return starting_.load() ? "starting a child" : ""; }
  std::string busy_with() const override;
  bool reports_itself() const noexcept override { return true; }
  process_kind kind() const noexcept override { return process_kind::supervisor; }
  const supervisor_plan& plan() const noexcept { return plan_; }  // for checks

 private:
  enum class activity : std::uint8_t {
    idle,
    terminating,  // one child, for a request
    regrouping,   // siblings of a failed child, before all of them are started again
    resizing,     // partitions that are not to run any more
    ending,       // all children, before the supervisor ends
  };
  class watch;
  struct odd_end {
    exit_reason why;
    child_spec spec;
    std::size_t number = 0;
  };

  // supervisor_core.cpp: messages and requests
  void take(envelope* e);
  void hold(envelope* e);
  void take_exit(const exit_signal& signal);
  void take_down(const down& d);
  void take_request(supervisor_request* r);
  void take_system(request_envelope* e);
  void unexpected(envelope* e);
  supervisor_reply answer_to(supervisor_request& r);
  supervisor_reply start_child(supervisor_request& r);
  supervisor_reply restart_child(supervisor_request& r);
  supervisor_reply delete_child(supervisor_request& r);
  supervisor_reply which_children() const;
  supervisor_reply count_children() const;
  child_record* addressed(const child_id& id) const noexcept;
  void terminate_child(supervisor_request* r);
  void resize(supervisor_request* r);
  void reply(supervisor_request* r, supervisor_reply&& value);
  void reply_to_asker(supervisor_reply&& value);
  bool busy() const noexcept { return doing_ != activity::idle; }
  bool by_process() const noexcept {
    return plan_.what == supervisor_plan::kind::dynamic || plan_.strategy == strategy::simple_one_for_one;
  }
  server_status status() const;
  std::string state_text() const;
  struct subject;
  void tell(sys::debug_facts&& facts);
  void tell_in(const envelope& e);
  void let_go(const exit_reason& why) noexcept;

  // supervisor_start.cpp: starting and restarting
  void refuse(exit_reason answer, exit_reason end);
  void start_all();
  result<child_started> start_one(child_record& c);
  void child_ended(child_record& c, const exit_reason& why);
  void restart(child_record& c);
  void restart_alone(child_record& c);
  void start_group();
  void report_start_error(const child_record& c, const exit_reason& why);
  void report_late_start(const child_record& c, const result<child_started>& made);
  void try_again(child_record& c, pid last);
  void leave_restarting(child_record& c) noexcept;
  void set_running(child_record& c, pid process);
  void set_stopped(child_record& c);
  void forget(child_record& c);
  void judge_significance(bool significant);
  void publish(const child_record& c) noexcept;

  // supervisor_stop.cpp: stopping
  void order_end(exit_reason why);
  void hurry();
  void stop_next();
  void begin_stop(child_record& c);
  void share_budget();
  void look_at_stops();
  void kill(child_record& c);
  void stopped(child_record& c, exit_reason why);
  void settle(child_record& c, const exit_reason& why);
  void note_odd_end(const child_record& c, const exit_reason& why);
  void all_stopped();
  void end_now();
  bool in_group(const child_record& c) const noexcept;
  void sort_out_held();
  bool refuse_start(request_envelope* e);
  std::optional<exit_reason> held_exit_of(pid process);
  void wake_at(std::int64_t moment);
  bool fits(const child_record& c, const exit_reason& why) const;

  std::unique_ptr<plan_maker> maker_;
  const std::string_view& type_;
  std::string_view module_;
  server_name name_;
  start_ticket* ticket_;  // until the start is decided
  pid parent_;
  supervisor_plan plan_;
  std::optional<child_table> children_;
  restart_window window_;
  flat_table<std::uint64_t, child_record*> retries_;  // children that are restarting, by order
  std::size_t significant_ = 0;                       // significant children that run or are restarting
  std::uint64_t refused_ = 0;
  std::shared_ptr<partition_routes> routes_;
  supervisor_identity identity_;
  std::atomic<child_record*> starting_{nullptr};  // whose start function runs; read by others
  bool suspended_ = false;
  std::vector<debug_option> debug_options_;  // until it has started
  std::unique_ptr<debugging> debug_;         // while sys has something switched on
  bool told_to_end_ = false;   // by an exit signal that is still in the mailbox: nothing is started any more
  bool told_to_stop_ = false;  // by a stop signal: a start has its shutdown time, and no more

  envelope* held_first_ = nullptr;
  envelope* held_last_ = nullptr;

  // While busy.
  activity doing_ = activity::idle;
  child_record* target_ = nullptr;  // is being stopped, where one is stopped after the other
  child_record* cursor_ = nullptr;  // where the next one to stop is looked for, towards the first
  std::uint64_t boundary_ = 0;      // regrouping, resizing: children of a higher order are stopped
  child_record* failed_ = nullptr;  // regrouping: who caused it
  std::size_t left_ = 0;            // ending: children that are being stopped at the same time
  supervisor_request* asker_ = nullptr;
  child_record* asked_for_ = nullptr;  // terminating: answered when this one is gone
  exit_reason end_reason_;
  std::map<std::string, odd_end> odd_ends_;  // ending, many at once: by reason
  instant stop_started_{};                   // ending, many at once
  instant target_asked_{};                   // when `target_` was asked to end
  std::int64_t limit_ = INT64_MAX;           // of a runtime's stop: this supervisor's share of its budget
  std::int64_t kill_by_ = INT64_MAX;         // what of it the present target may use
  std::int64_t abandon_by_ = INT64_MAX;      // and how long its kill may take
  ref tick_;
  std::int64_t tick_at_ = INT64_MAX;
};

}  // namespace otp::detail
