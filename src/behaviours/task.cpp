// What a task's owner does: starting it, waiting for it, giving it up.
#include <otp/process.hpp>
#include <otp/task.hpp>

namespace otp {

namespace detail {

namespace {

using state = task_handle::state;

/// The reason of an owner who loses the connection to a task's node, with the node's name.
struct nodedown {
  std::string node;
  std::string to_string() const { return "{nodedown, " + quoted(node) + "}"; }
  friend bool operator==(const nodedown&, const nodedown&) = default;
};

exit_reason cause_of(const exit_reason& why) {
  return why == reason::noconnection ? exit_reason(nodedown{this_node()}) : why;
}

std::string text_of_task(const task_handle& t) { return t.process ? t.process.to_string() : std::string("completed"); }

exited failure(exit_reason cause, const char* what, const task_slot* all, std::size_t count, duration timeout) {
  constexpr std::size_t shown = 10;
  std::string tasks;
  for (std::size_t i = 0; i < count && i < shown; ++i) tasks += (i ? ", " : "") + text_of_task(*all[i].handle);
  if (count > shown) tasks += " and " + unsigned_text(count - shown) + " more";
  std::string function(count == 1 && all->handle->function ? *all->handle->function : std::string_view("tasks"));
  return exited(call_failure(std::move(cause), what, std::move(tasks), function, timeout));
}

void require_all(const task_slot* all, std::size_t count, const char* what) {
  for (std::size_t i = 0; i < count; ++i) {
    require_open(*all[i].handle, what);
    for (std::size_t j = 0; count <= 16 && j < i; ++j)
      if (all[i].handle == all[j].handle)
        throw bad_argument(std::string(what) + ": the same task is given twice; each has one result");
  }
}

std::vector<awaited> awaited_of(const task_slot* all, std::size_t count) {
  std::vector<awaited> waits;
  waits.reserve(count);
  for (std::size_t i = 0; i < count; ++i)
    if (all[i].handle->is == state::open) waits.emplace_back(all[i].handle->watch, all[i].type);
  return waits;
}

// What came of it is the slot's; the rest of what the task sends is not looked at any more.
void settle(task_slot& slot, awaited& a) noexcept {
  task_handle& t = *slot.handle;
  if (a.value)
    slot.value = std::exchange(a.value, nullptr);
  else if (a.end)
    slot.end = a.why();
  if (!a.end) forget(t.watch, *slot.type, slot.value != nullptr);
  t.is = state::over;
}

// Keeps a task's mailbox traffic from outliving a wait that is left by an exception.
void let_go(task_slot* all, std::size_t count) noexcept {
  for (std::size_t i = 0; i < count; ++i) drop_task(*all[i].handle, *all[i].type);
}

}  // namespace

// ---- starting ----------------------------------------------------------------------------------------------------

task_handle start_task(std::unique_ptr<task_core> task) {
  require_caller("async");
  task_handle t{.owner = self(), .function = &task->type(), .is = state::open};
  spawn_options how;
  how.link = how.monitor = true;
  how.monitoring.alias = alias_mode::demonitor;
  spawned made = spawn_body(std::move(task), how);
  t.process = made.pid;
  t.watch = made.monitor;
  return t;
}

pid start_loose_task(std::unique_ptr<task_core> task, bool link) {
  spawn_options how;
  how.link = link;
  return spawn_body(std::move(task), how).pid;
}

// ---- checks ------------------------------------------------------------------------------------------------------

void require_task_owner(const task_handle& t, const char* what) {
  if (t.is == state::none)
    throw bad_argument(std::string(what) + ": there is no task; give one that async() returned and nobody moved away");
  if (t.owner != self())
    throw bad_argument(std::string(what) + ": the task " + text_of_task(t) + " belongs to " + t.owner.to_string() +
                       ", and its result goes there, but " + self().to_string() +
                       " asks for it; wait in the process that started it");
}

void require_open(const task_handle& t, const char* what) {
  require_task_owner(t, what);
  if (t.is == state::over)
    throw bad_argument(std::string(what) + ": the task " + text_of_task(t) +
                       " was awaited or given up already; its result is there only once");
}

// ---- waiting -----------------------------------------------------------------------------------------------------

void await_tasks(task_slot* all, std::size_t count, duration timeout, const char* what) {
  require_valid_timeout(timeout);
  require_all(all, count, what);
  if (count == 1 && all->handle->is == state::open) {  // without memory for a list
    awaited a(all->handle->watch, all->type);
    if (collect(&a, 1, 1, timeout) == 0) {
      drop_task(*all->handle, *all->type);
      throw failure(reason::timeout, what, all, 1, timeout);
    }
    settle(*all, a);
    if (all->end) throw failure(cause_of(*all->end), what, all, 1, timeout);
    return;
  }
  auto waits = awaited_of(all, count);
  if (waits.empty()) return;
  std::size_t decided = collect(waits.data(), waits.size(), waits.size(), timeout, collect_until::enough_or_end);
  const awaited* first = nullptr;  // that died
  for (awaited& a : waits)
    if (a.died() && (!first || a.place < first->place)) first = &a;
  std::optional<exit_reason> why;
  if (first) why = cause_of(first->why());
  if (!why && decided < waits.size()) why = reason::timeout;
  if (why) {
    let_go(all, count);
    throw failure(std::move(*why), what, all, count, timeout);
  }
  std::size_t at = 0;
  for (std::size_t i = 0; i < count; ++i)
    if (all[i].handle->is == state::open) settle(all[i], waits[at++]);
}

void yield_tasks(task_slot* all, std::size_t count, std::size_t limit, duration timeout, late_tasks late,
                 const char* what) {
  require_valid_timeout(timeout);
  if (static_cast<unsigned>(late) > static_cast<unsigned>(late_tasks::kill_task))
    throw bad_argument(std::string(what) + ": unknown on_timeout; give nothing, ignore or kill_task");
  if (limit == 0) throw bad_argument(std::string(what) + ": the limit is 0; give 1 or more, or leave it away");
  require_all(all, count, what);
  auto waits = awaited_of(all, count);
  // The completed ones come first, then the others as they are decided; what is past the limit stays as it is.
  std::size_t left = limit;
  for (std::size_t i = 0; i < count; ++i)
    if (all[i].handle->is == state::completed) {
      all[i].left = left == 0;
      if (left > 0) --left;
    }
  const std::size_t wanted = std::min(waits.size(), left);
  const bool in_time =
      wanted == 0 || collect(waits.data(), waits.size(), wanted, timeout, collect_until::exactly) == wanted;
  std::optional<exit_reason> lost;
  std::size_t at = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (all[i].handle->is != state::open) continue;
    awaited& a = waits[at++];
    if (!a.decided()) continue;
    settle(all[i], a);
    if (all[i].end == reason::noconnection) lost = cause_of(*all[i].end);
  }
  if (lost) throw failure(std::move(*lost), what, all, count, timeout);
  if (in_time || late == late_tasks::nothing) return;
  for (std::size_t i = 0; i < count; ++i) {
    if (all[i].handle->is != state::open) continue;
    if (late == late_tasks::ignore)
      ignore_task(all[i]);
    else
      shutdown_task(all[i], brutal_kill);
  }
}

// ---- giving up ---------------------------------------------------------------------------------------------------

void ignore_task(task_slot& task) {
  task_handle& t = *task.handle;
  require_task_owner(t, "ignore");
  if (t.is != state::open) return;
  unlink(t.process);
  awaited a(t.watch, task.type);
  collect(&a, 1, 1, duration::zero());
  settle(task, a);
  if (task.end == reason::noconnection) throw failure(cause_of(*task.end), "ignore", &task, 1, duration::zero());
}

// The end is that of the owner's own monitor if it is still there: another one would not know why a dead task ended.
void shutdown_task(task_slot& task, shutdown_time time) {
  task_handle& t = *task.handle;
  require_task_owner(t, "shutdown");
  if (!time.is_brutal_kill()) require_valid_timeout(time.time());
  if (!t.process) return;  // a completed one, of which there is a value or nothing
  const bool open = t.is == state::open;
  unlink(t.process);
  bool killed = time.is_brutal_kill();
  awaited end(open ? t.watch : monitor(t.process), nullptr);
  exit(t.process, killed ? exit_reason(reason::kill) : exit_reason(reason::shutdown));
  if (collect(&end, 1, 1, killed ? infinity : time.time()) == 0) {
    exit(t.process, reason::kill);
    collect(&end, 1, 1, infinity);
  }
  if (open) {
    awaited answer(t.watch, task.type);
    collect(&answer, 1, 1, duration::zero());
    if (answer.value) task.value = std::exchange(answer.value, nullptr);
    t.is = state::over;
  }
  const exit_reason& why = end.why();
  if (task.value) return;
  if (why == reason::noconnection) throw failure(cause_of(why), "shutdown", &task, 1, time.time());
  if (!(killed ? why == reason::killed : why == reason::shutdown)) task.end = why;
}

void drop_task(task_handle& t, const result_envelope_type& type) noexcept {
  if (std::exchange(t.is, state::over) == state::open) forget(t.watch, type);
}

}  // namespace detail

// ---- who ---------------------------------------------------------------------------------------------------------

std::vector<pid> callers() {
  detail::require_caller("callers");
  if (detail::process_body* body = detail::body_of_caller())
    if (auto all = body->callers()) return *all;
  return {};
}

std::vector<pid> ancestors() {
  detail::require_caller("ancestors");
  std::vector<pid> all;
  for (pid at = parent(); at;) {
    all.push_back(at);
    auto above = info(at);
    at = above ? above->parent : pid();
  }
  return all;
}

}  // namespace otp
