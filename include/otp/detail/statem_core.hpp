// The untyped half of every state machine: its queue of events, its timers, and what a transition sets in motion.
//
// Shape   a machine_core is a server_core that takes its messages itself. Templates find the handler of an event in the
//         current state and run it; it leaves a machine_turn. What that asks for is done here, compiled once.
// Rules   1. Those of server_core.hpp.
//         2. An event is in one place: being handled (on the stack of handle()), queue_ or postponed_. It owns its
//            envelope, of a request one reference.
//         3. A request that was postponed is among the outstanding as well, with a reference of its own: its end finds
//            it there, and the event is `listed`.
//         4. queue_ holds inserted and retried events, all of them before whatever is in the mailbox. Timers of no time
//            fire when queue_ is empty, in the order in which they were started.
#pragma once
#include <otp/detail/request.hpp>
#include <otp/detail/server_core.hpp>

namespace otp {

/// How an event came: OTP's event types.
enum class event_kind : std::uint8_t {
  call,           ///< by otp::call or send_request: somebody waits
  cast,           ///< by otp::cast
  info,           ///< by plain send, or from the runtime
  internal,       ///< inserted by a transition
  event_timeout,  ///< nothing happened for a while
  state_timeout,  ///< the state has lasted for a while
  timeout,        ///< a timer with a name
};

/// The kind of an event; of a timer with a name also that.
struct event_type {
  event_kind kind = event_kind::info;
  term name{};

  event_type() = default;
  event_type(event_kind k) : kind(k) {}
  event_type(event_kind k, term n) : kind(k), name(std::move(n)) {}
  std::string to_string() const;
  friend bool operator==(const event_type&, const event_type&) = default;
};

/// A state of a machine, looked at: valid as long as the call that it was given to.
class state_view {
 public:
  state_view() = default;
  state_view(const void* value, const detail::type_record* type) noexcept : value_(value), type_(type) {}
  template <class State>
  const State* get_if() const noexcept {
    return type_ == &detail::record_of<State> ? static_cast<const State*>(value_) : nullptr;
  }
  template <class State>
  bool is() const noexcept {
    return get_if<State>() != nullptr;
  }
  std::string_view type_name() const noexcept { return type_ ? type_->name : std::string_view("none"); }
  std::string to_string() const { return type_ ? type_->text(value_) : "none"; }
  const detail::type_record* type() const noexcept { return type_; }

 private:
  const void* value_ = nullptr;
  const detail::type_record* type_ = nullptr;
};

namespace detail {

/// A reply to somebody else than the caller of the event being handled.
struct other_reply {
  virtual ~other_reply() = default;
  virtual bool send() = 0;  // false: the `from` is empty
};

/// One thing that a transition does besides moving.
struct machine_action {
  enum class what : std::uint8_t {
    own_reply,
    reply,
    insert,
    start,
    cancel,
    update
  } action;  // of timers: from start on
  event_type type{};
  envelope* content = nullptr;  // owned
  bool has_from = false;        // insert: a call with its caller
  duration time{};              // start: from now, or since the clock's epoch
  bool absolute = false;
  std::unique_ptr<other_reply> other{};

  machine_action(what w, event_type t, envelope* c = nullptr) : action(w), type(std::move(t)), content(c) {}
  machine_action(machine_action&& o) noexcept
      : action(o.action),
        type(std::move(o.type)),
        content(std::exchange(o.content, nullptr)),
        has_from(o.has_from),
        time(o.time),
        absolute(o.absolute),
        other(std::move(o.other)) {}
  machine_action& operator=(machine_action&&) = delete;
  ~machine_action();
};

/// What most transitions have none of.
struct step_extras {
  std::vector<machine_action> actions;
  std::optional<bool> postpone;
  std::optional<bool> hibernate;
  bool orders_own_reply = false;  // it stands among the actions

  machine_action& add(machine_action::what w, event_type type, envelope* content = nullptr);
  void start(event_type type, duration time, bool absolute, envelope* content);
};

/// What a handler asks for, without the types.
struct machine_step {
  enum class what : std::uint8_t { keep, next, repeat, stop } action = what::keep;
  exit_reason reason{};  // of a stop
  bool replies = false;  // stop_and_reply
  std::unique_ptr<step_extras> extras{};
  step_extras& more() {
    if (!extras) extras.reset(new step_extras);
    return *extras;
  }
};

/// A call that a transition inserts, without its types.
struct inserted_request : envelope {
  explicit inserted_request(const envelope_type* t) noexcept : envelope(t) {}
  ~inserted_request() {
    if (caller) from_dropped(caller);
  }
  request_envelope* caller = nullptr;  // who waits: a reference, as a `from` has one
  bool lent = false;                   // a handler was given a `from` of its own, and that decides
};

class machine_core;

/// One run of a handler or of an enter call.
class machine_turn : public turn {
 public:
  machine_turn(machine_core& core, const event_type& type, request_envelope* r = nullptr) noexcept
      : turn(r), machine(core), event(type) {}

  machine_core& machine;
  const event_type& event;
  machine_step asked{};   // its actions that are not done yet
  bool changed = false;   // another state, which the machine is in now
  bool entering = false;  // an enter call
  bool kept = false;      // answered and postponed: the event has a reference of its own
  bool moved = false;     // the handler was given the event to keep
  bool gone = false;      // and has taken its envelope too
};

/// One per type of machine.
struct machine_type : server_type {
  void (*enter)(machine_turn& t, void* machine, bool again);  // null: no enter calls
  void (*left)(void* machine);                                // the previous state may go
  state_view (*current)(const void* machine);
  std::string (*data)(const void* machine);
  std::unique_ptr<step_extras> (*first)(void* machine);  // what init asked for
  bool run_time_states;
};

class machine_core : public server_core {
 public:
  /// Takes a reference of its own to the ticket.
  machine_core(const machine_type& type, const start_options& options, start_ticket* ticket);
  ~machine_core() override;

  void receive(envelope* e) final;
  bool has_work() const noexcept final { return queue_.first || zero_timers_ > 0; }
  void work() final;

  /// Does the actions of a turn in their order, as far as they are done at once: replies. What is wrong with one of
  /// them makes the turn a stop. `own` sends the reply to the caller of the event, where it stands among them.
  void begin_actions(machine_turn& t, void (*own)(void*), void* argument);

 protected:
  void begin(init_step&& done) final;
  void add_status(server_status& s) final;
  bool is_machine() const noexcept final { return true; }
  std::string advice(const envelope_type& type) final;

 private:
  struct pending_event;
  struct machine_timer;
  struct event_list {
    pending_event* first = nullptr;
    pending_event* last = nullptr;
    void push_back(pending_event* e) noexcept;
    void put_before(event_list& all) noexcept;  // empties `all`
    pending_event* pop() noexcept;
  };
  const machine_type& machine() const noexcept { return static_cast<const machine_type&>(type_); }
  runner runner_of(const envelope& e) const noexcept;
  void take(envelope* e, runner r, event_kind kind);
  bool take_timer(envelope* e);
  void fire(std::size_t at);
  void handle(pending_event& e);
  void transition(pending_event& e, machine_turn& t);
  void tell_event(sys::debug_kind what, const pending_event& e, bool readable = true);
  bool enter_state(pending_event* e, machine_turn& outer, std::unique_ptr<step_extras>& all, bool again);
  void commit(bool changed, step_extras* all);
  bool finish_event(pending_event& e, machine_turn& t);
  void let_go(pending_event& e, machine_turn& t);
  void postpone(pending_event& e, machine_turn& t);
  void fail(pending_event* e, machine_turn& t, exit_reason why);
  void settle_listed(request_envelope* r);
  void keep_to_the_end(pending_event& e);
  void start_timer(machine_action& a);
  void cancel_timer_of(const event_type& type);
  void drop_timer(std::size_t at);
  std::size_t find_timer(const event_type& type) const noexcept;

  event_list queue_;
  event_list postponed_;
  envelope* last_ = nullptr;  // an inserted call that the machine ends with: its caller gets the reason
  std::vector<machine_timer> timers_;
  std::uint64_t timer_number_ = 0;
  std::size_t zero_timers_ = 0;
};

/// Why a machine ends that throws a transition which its handler cannot return.
exit_reason misfit_transition(std::string_view state, std::string_view value, std::string_view result);
/// An enter call may not go to another state.
void enter_went_elsewhere(machine_turn& t, const std::string& where);

/// The name of a state in a diagram.
struct diagram_state {
  std::string_view type;
  bool initial;
};
struct diagram_edge {
  std::size_t from;
  std::size_t to;
  std::string_view event;
};
/// Mermaid text; `current` is a state's type to mark, or empty.
std::string draw_diagram(std::string_view machine, const std::vector<diagram_state>& states,
                         const std::vector<diagram_edge>& edges, std::string_view current);

}  // namespace detail
}  // namespace otp
