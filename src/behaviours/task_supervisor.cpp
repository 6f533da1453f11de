// Tasks as children of a supervisor.
//
// The process is started by the supervisor, which is told nothing of the function: it is linked to it and waits for its
// task. Its owner links it, watches it, and sends it the task. An owner that ends before that is noticed by a monitor.
#include <otp/task_supervisor.hpp>

namespace otp {

namespace detail {

namespace {

constexpr std::string_view task_supervisor_type = "task_supervisor";

/// What the owner sends to the process that waits.
struct task_go {
  std::unique_ptr<task_core> task;
  ref reply;
};

class waiting_task final : public process_body {
 public:
  waiting_task(pid owner, const std::string_view& type) : owner_(owner), type_(type) {}
  bool start() override;
  void ended(const exit_reason& why) noexcept override {
    if (task_) task_->ended(why);
  }
  void given_up(const exit_reason& why) noexcept override {
    if (task_) task_->given_up(why);
  }
  std::shared_ptr<const std::vector<pid>> callers() const override { return task_ ? task_->callers() : nullptr; }
  bool reports_itself() const noexcept override { return true; }
  process_kind kind() const noexcept override { return process_kind::task; }
  const std::string_view& type() const noexcept override { return type_; }

 private:
  pid owner_;
  const std::string_view& type_;
  std::unique_ptr<task_core> task_;
};

bool waiting_task::start() {
  ref watch = monitor(owner_);
  auto wanted = [](const void* argument, const envelope& e) {
    if (e.type == &value_envelope<task_go>::type_of) return true;
    return e.type == &value_envelope<down>::type_of &&
           static_cast<const value_envelope<down>&>(e).value.reference == *static_cast<const ref*>(argument);
  };
  message got(next_envelope(wanted, &watch));
  count_handled();
  if (auto* owner_gone = got.get_if<down>()) {
    end_with(reason::shutdown(owner_gone->reason));
    return false;
  }
  demonitor(watch, {.flush = true});
  auto* go = got.get_if<task_go>();
  task_ = std::move(go->task);
  task_->watched(go->reply);
  task_->perform();
  return false;
}

class waiting_starter final : public child_starter {
 public:
  waiting_starter(pid owner, const std::string_view& type) : owner_(owner), type_(type) {}
  result<child_started> start(const extra_arguments&, extra_side) const override {
    spawn_options how;
    how.link = true;
    return child_started{spawn_body(std::make_unique<waiting_task>(owner_, type_), how).pid, {}};
  }
  std::string_view module() const noexcept override { return type_; }
  std::string to_string() const override { return starter_text(type_, 0); }

 private:
  pid owner_;
  const std::string_view& type_;
};

/// A child by a request whose failure names what the caller had asked for.
result<child_started> start_for(const supervisor_ref& supervisor, child_spec spec, const char* function,
                                std::string_view task) {
  std::optional<exit_reason> why;
  try {
    return start_child(supervisor, std::move(spec));
  } catch (const exited& e) {
    if (being_ended() || !e.reason().call()) throw;
    why = e.reason().cause();
  }
  throw exited(call_failure(std::move(*why), function, supervisor.to_string(), task, infinity));
}

}  // namespace

task_handle start_supervised_task(const supervisor_ref& supervisor, std::unique_ptr<task_core> task, bool link,
                                  shutdown_time shutdown, const char* function) {
  require_caller(function);
  task_handle t{.owner = self(), .function = &task->type(), .is = task_handle::state::open};
  child_spec spec;
  spec.restart(temporary).shutdown(shutdown);
  spec.set_starter(starter_pointer(new waiting_starter(t.owner, *t.function)));
  auto started = start_for(supervisor, std::move(spec), function, *t.function);
  if (!started)
    throw exited(call_failure(std::move(started.error()), function, supervisor.to_string(), *t.function, infinity));
  t.process = started->process;
  if (link) otp::link(t.process);
  t.watch = monitor(t.process, {.alias = alias_mode::demonitor});
  send(t.process, task_go{std::move(task), t.watch});
  return t;
}

result<pid> start_task_child(const supervisor_ref& supervisor, std::string_view task, starter_pointer starter,
                             task_child_options how) {
  child_spec spec;
  spec.restart(how.restart).shutdown(how.shutdown);
  spec.set_starter(std::move(starter));
  auto started = start_for(supervisor, std::move(spec), "start_child", task);
  if (!started) return std::unexpected(std::move(started.error()));
  return started->process;
}

}  // namespace detail

result<server<task_supervisor>> task_supervisor::start_link(task_supervisor_spec spec, start_options options) {
  auto made = detail::start_supervisor(
      detail::plan_of(dynamic_supervisor_spec{
          .max_restarts = spec.max_restarts, .max_seconds = spec.max_seconds, .max_children = spec.max_children}),
      detail::task_supervisor_type, std::move(options));
  if (!made) return std::unexpected(std::move(made.error()));
  return server<task_supervisor>(*made);
}

std::vector<pid> task_supervisor::children(const supervisor_ref& who) {
  std::vector<pid> all;
  for (child_info& child : detail::which_children(who))
    if (child.state == child_state::running) all.push_back(child.process);
  return all;
}

child_spec child_task_supervisor(start_options options, task_supervisor_spec spec) {
  child_spec made;
  if (options.name.empty())
    made.id("otp::task_supervisor");
  else
    made.id(options.name.id());
  made.type(child_type::supervisor).modules({"otp::task_supervisor"});
  made.start([spec, options = std::move(options)] { return task_supervisor::start_link(spec, options); });
  return made;
}

}  // namespace otp
