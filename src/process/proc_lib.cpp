#include <otp/proc_lib.hpp>

#include "process/runtime_core.hpp"

namespace otp {

namespace detail {

namespace {

class proc_lib_body final : public process_body {
 public:
  proc_lib_body(unique_function f, const std::string_view& type, start_ticket* ticket)
      : function_(std::move(f)), type_(type), ticket_(ticket) {
    ticket_->add_reference();
  }
  ~proc_lib_body() override {
    if (ticket_) ticket_->drop();  // it was never started
  }
  bool start() override {
    function_();
    return false;
  }
  start_ticket* release_ticket() noexcept override { return std::exchange(ticket_, nullptr); }
  void given_up(const exit_reason& why) noexcept override {
    if (inner_) inner_->given_up(why);
    if (ticket_) ticket_->failed(why);
  }
  void replying(const request_envelope& r) noexcept override {
    if (inner_) inner_->replying(r);
  }
  std::string_view doing() const noexcept override { return inner_ ? inner_->doing() : std::string_view(); }
  const std::string_view& type() const noexcept override { return type_; }
  start_ticket* ticket() const noexcept { return ticket_; }
  void become(process_body* inner) noexcept { inner_ = inner; }

 private:
  unique_function function_;
  const std::string_view& type_;
  start_ticket* ticket_;
  process_body* inner_ = nullptr;  // a server, once the function has entered its loop; changes inside a bracket
};

proc_lib_body* mine() noexcept {
  process* p = current_process();
  return p ? dynamic_cast<proc_lib_body*>(p->body) : nullptr;
}

}  // namespace

bool started_by_proc_lib() noexcept { return mine() != nullptr; }

void entered_loop(process_body* inner) noexcept {
  runtime_bracket bracket;
  if (proc_lib_body* body = mine()) body->become(inner);
}

}  // namespace detail

namespace proc_lib {

result<otp::detail::started> detail::start(otp::detail::unique_function body, const std::string_view& type, options how,
                                           bool monitored) {
  if (!body) throw bad_argument("proc_lib.start: the function object is empty; give one that can be called");
  if (how.spawn.monitor && !monitored)
    throw bad_argument("proc_lib.start: spawn_options::monitor belongs to start_monitor, which returns the reference");
  auto* ticket = otp::detail::start_ticket::make();
  otp::detail::ticket_holder holder(ticket);
  auto made = std::make_unique<otp::detail::proc_lib_body>(std::move(body), type, ticket);
  return otp::detail::start_body(std::move(made), holder.release(), how.spawn, how.timeout);
}

void init_ack(term value) {
  auto* body = otp::detail::mine();
  if (!body) throw bad_argument("init_ack: this process was not started by proc_lib");
  body->ticket()->succeeded(self(), std::move(value));
}

void init_fail(exit_reason why) {
  auto* body = otp::detail::mine();
  if (!body) throw bad_argument("init_fail: this process was not started by proc_lib");
  body->ticket()->failed_at_end(why);
  throw exited(std::move(why));
}

}  // namespace proc_lib

}  // namespace otp
