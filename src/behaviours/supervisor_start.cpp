// Starting and restarting: the first start, one child, a failed child by strategy, and the window that ends it all.
#include "base/planted.hpp"
#include "behaviours/stop_budget.hpp"
#include "behaviours/supervisor_core.hpp"
#include "behaviours/supervisor_signals.hpp"

#include <algorithm>

namespace otp::detail {

namespace {

constexpr std::int64_t never = INT64_MAX;

std::int64_t nanoseconds_now() noexcept { return otp::now().time_since_epoch().count(); }

}  // namespace

// ---- the first start ---------------------------------------------------------------------------------------------

void supervisor_core::refuse(exit_reason answer, exit_reason end) {
  name_.release();
  if (ticket_) ticket_->failed_at_end(std::move(answer));
  end_with(std::move(end));
}

bool supervisor_core::start() {
  identity_.process = self();
  identity_.name = name_.empty() ? self().to_string() + " (" + std::string(type_) + ")" : name_.to_string();
  if (identity_.name.front() == '"') identity_.name = identity_.name.substr(1, identity_.name.size() - 2);
  if (spawned_with_link()) parent_ = otp::parent();
  if (!name_.empty()) {
    if (auto claimed = name_.claim(self()); !claimed) {
      name_ = server_name();
      ticket_->failed_at_end(std::move(claimed.error()));
      return false;
    }
  }
  auto failed = guard([&] { plan_ = maker_->make(); });
  if (being_ended()) return true;
  if (!failed) failed = guard([&] { maker_.reset(); });  // arguments of the user's go, perhaps not quietly
  if (being_ended()) return true;
  if (!failed && !plan_.refusal) failed = plan_.check();
  if (failed) {
    if (!failed->is_expected() && event_wanted("crash")) {
      event e = crash_event(*failed);
      e.name = identity_.name;
      e.fields.emplace_back("in", "init");
      report(std::move(e));
    }
    refuse(*failed, *failed);
    return true;
  }
  if (plan_.refusal) {
    bool stops = plan_.refusal->outcome == init_step::what::stop;
    exit_reason answer =
        plan_.refusal->outcome == init_step::what::ignore ? exit_reason(reason::ignore) : plan_.refusal->reason;
    refuse(answer, stops ? answer : exit_reason());
    return true;
  }
  window_ = restart_window(plan_.max_restarts + planted(bug::intensity_off_by_one), plan_.max_seconds);
  children_.emplace(!by_process());
  for (const debug_option& option : std::exchange(debug_options_, {})) {
    if (!debug_) debug_ = std::make_unique<debugging>();
    if (!debug_->option(option)) report_bad_debug_option(option);
  }
  if (debug_ && !debug_->on()) debug_.reset();
  start_all();
  return true;
}

void supervisor_core::start_all() {
  if (plan_.what == supervisor_plan::kind::partition) {
    routes_ = std::make_shared<partition_routes>(plan_.children.size());
    partition_directory::here().add(self(), routes_);
  }
  if (!by_process()) {
    for (child_spec& spec : plan_.children) children_->append(std::move(spec));
    plan_.children = {};
  }
  for (child_record *c = children_->first(), *next = nullptr; c; c = next) {
    next = c->next;
    auto started = start_one(*c);
    if (being_ended()) return;
    if (told_to_end_) return report_late_start(*c, started);
    if (started) {
      report_child(report_context::progress, identity_, {}, *c);
      if (planted(bug::one_for_all_twice) && c == children_->last()) static_cast<void>(start_one(*c));
      continue;
    }
    if (started.error() == reason::ignore) {
      if (c->is_temporary()) forget(*c);
      continue;
    }
    report_start_error(*c, started.error());
    return order_end(reason::shutdown(failed_to_start_child{c->spec.id(), std::move(started.error())}));
  }
  if (ticket_) {
    start_ticket* ticket = nullptr;
    {
      runtime_bracket bracket;
      ticket = std::exchange(ticket_, nullptr);
    }
    ticket->succeeded(self());
    ticket->drop();
  }
}

// ---- one child ---------------------------------------------------------------------------------------------------

class supervisor_core::watch final : public start_watch {
 public:
  watch(supervisor_core& core, const child_record& c) noexcept : core_(core), child_(c) { parent = core.parent_; }

  void asked_to_end() noexcept override {
    // A child that is being started is stopped like any other: `shutdown`, its time, then a kill.
    shutdown_time time = child_.spec.shutdown();
    if (deadline == never) set_deadline(time);  // first: a child that is a supervisor looks up what it may use
    if (starting && !time.is_brutal_kill()) otp::exit(starting, reason::shutdown);
  }

 private:
  void set_deadline(const shutdown_time& time) noexcept {
    std::int64_t now = nanoseconds_now();
    if (!time.is_infinity()) deadline = time.time().count() > never - now ? never : now + time.time().count();
    try {
      auto& budget = stop_budget::here();
      if (std::int64_t limit = budget.limit_under(core_.parent_); limit != never) {
        deadline = std::min(deadline, now + std::max<std::int64_t>(limit - now, 0) / 2);
        core_.limit_ = limit;
        budget.set(core_.identity_.process, deadline);
      }
    } catch (...) {
      // Without the table of budgets the child's own time has to do.
    }
  }

  supervisor_core& core_;
  const child_record& child_;
};

// Runs the start function. On success the child runs; a start that was given up may leave a process, which is stopped
// with the others.
result<child_started> supervisor_core::start_one(child_record& c) {
  if (told_to_end_ && !planted(bug::restart_in_shutdown)) return std::unexpected(exit_reason(reason::stopping));
  result<child_started> made = std::unexpected(exit_reason());
  watch w(*this, c);
  if (told_to_stop_) {
    w.asked = true;
    w.asked_to_end();
  }
  struct call_arguments {
    supervisor_core& core;
    child_record& child;
    result<child_started>& made;
  } arguments{*this, c, made};
  starting_.store(&c);
  auto failed = guard_start(
      w,
      [](void* a) {
        auto& [core, child, out] = *static_cast<call_arguments*>(a);
        detail::starter_pointer starter = child.spec.starter();
        if (core.plan_.what == supervisor_plan::kind::dynamic) {
          out = starter->start(child.extra, extra_side::before);
          return;
        }
        // As in OTP a value that is thrown counts as returned.
        try {
          out = starter->start(child.extra, extra_side::after);
        } catch (child_started& thrown) {
          out = std::move(thrown);
        } catch (const pid& thrown) {
          out = child_started{thrown, {}};
        } catch (const exit_reason& thrown) {
          out = std::unexpected(thrown);
        }
      },
      &arguments);
  if (being_ended()) return std::unexpected(exit_reason(reason::killed));  // starting_ stays: ended() tells of it
  starting_.store(nullptr);
  if (w.asked && w.by_exit) told_to_end_ = true;
  if (w.asked && !w.by_exit) told_to_stop_ = true;
  if (w.given_up && (failed || !made)) {
    made = std::unexpected(
        exit_reason(exit_reason::kind::stopping, "its start had not ended when its supervisor had to end"));
    report_child(report_context::start_error, identity_, made.error(), c);
    if (w.starting) {
      c.overdue = true;
      set_running(c, w.starting);
    }
    return made;
  }
  if (failed) return std::unexpected(std::move(*failed));
  if (made && !made->process) made = std::unexpected(no_process_returned());
  if (made) set_running(c, made->process);
  return made;
}

// One that was given up has been reported, and one that was not even tried is no error; but a start function may find
// somebody else stopping.
void supervisor_core::report_start_error(const child_record& c, const exit_reason& why) {
  if (why == reason::stopping && (told_to_end_ || told_to_stop_)) return;
  report_child(report_context::start_error, identity_, why, c);
}

// The order to end came while it was being started, and is in the mailbox.
void supervisor_core::report_late_start(const child_record& c, const result<child_started>& made) {
  if (!made && made.error() != reason::ignore) report_start_error(c, made.error());
}

void supervisor_core::set_running(child_record& c, pid process) {
  leave_restarting(c);
  children_->set_process(c, process);
  if (c.spec.is_significant() && !c.has_process()) ++significant_;
  c.is = child_record::state::running;
  if (c.is_temporary()) {
    // Never started again: its arguments are not kept.
    c.spec.drop_start();
    c.extra = {};
  }
  publish(c);
}

// No process, and not about to have one.
void supervisor_core::set_stopped(child_record& c) {
  if (c.spec.is_significant() && c.is != child_record::state::undefined) --significant_;
  if (c.is == child_record::state::restarting) retries_.erase(c.order);
  c.is = child_record::state::undefined;
  c.killed = c.overdue = false;
  children_->set_process(c, {});
  publish(c);
}

void supervisor_core::forget(child_record& c) {
  if (c.is != child_record::state::undefined) set_stopped(c);
  if (cursor_ == &c) cursor_ = c.previous;
  if (failed_ == &c) failed_ = nullptr;
  children_->remove(c);
}

void supervisor_core::leave_restarting(child_record& c) noexcept {
  if (c.is != child_record::state::restarting) return;
  retries_.erase(c.order);
  if (c.spec.is_significant()) --significant_;
  c.is = child_record::state::undefined;
}

void supervisor_core::publish(const child_record& c) noexcept {
  if (routes_) routes_->processes[c.order - 1].store(c.is == child_record::state::running ? c.process.value() : 0);
}

// ---- a child has ended -------------------------------------------------------------------------------------------

void supervisor_core::child_ended(child_record& c, const exit_reason& why) {
  bool expected = why.is_expected();
  bool again = c.spec.restart() == restart_type::permanent || (!expected && !c.is_temporary());
  if (again || !expected) report_child(report_context::child_terminated, identity_, why, c);
  bool significant = c.spec.is_significant();
  if (again && (!told_to_end_ || planted(bug::restart_in_shutdown))) return restart(c);
  set_stopped(c);
  if (by_process() || c.is_temporary()) forget(c);
  if (!told_to_end_) judge_significance(significant);
}

void supervisor_core::judge_significance(bool significant) {
  if (!significant || plan_.auto_shutdown == auto_shutdown::never) return;
  if (plan_.auto_shutdown == auto_shutdown::all_significant && significant_ > 0) return;
  order_end(reason::shutdown);
}

void supervisor_core::restart(child_record& c) {
  instant now = otp::now();
  if (planted(bug::window_does_not_slide)) now -= now.time_since_epoch() % (2 * plan_.max_seconds);
  if (!window_.add(now)) {
    report_child(report_context::gave_up, identity_, "reached_max_restart_intensity", c);
    set_stopped(c);
    return order_end(reason::shutdown);
  }
  if (plan_.strategy == strategy::one_for_one || plan_.strategy == strategy::simple_one_for_one)
    return restart_alone(c);
  set_stopped(c);
  doing_ = activity::regrouping;
  failed_ = &c;
  boundary_ = plan_.strategy == strategy::one_for_all ? 0 : c.order;
  cursor_ = children_->last();
  sort_out_held();
  stop_next();
}

void supervisor_core::restart_alone(child_record& c) {
  pid last = c.process;
  if (c.is == child_record::state::running && !by_process()) set_stopped(c);
  auto started = start_one(c);
  if (being_ended()) return;
  if (told_to_end_) return report_late_start(c, started);
  if (started) return report_child(report_context::progress, identity_, {}, c);
  if (started.error() == reason::ignore) {
    set_stopped(c);
    if (by_process()) forget(c);
    return;
  }
  report_start_error(c, started.error());
  try_again(c, last);
}

// The group has been stopped: it is started again, in order.
void supervisor_core::start_group() {
  child_record* c = plan_.strategy == strategy::one_for_all ? children_->first() : failed_;
  failed_ = nullptr;
  for (child_record* next = nullptr; c; c = next) {
    next = c->next;
    if (routes_ && c->order > routes_->count.load()) continue;  // a resize has taken it out
    auto started = start_one(*c);
    if (being_ended()) return;
    if (told_to_end_) return report_late_start(*c, started);
    if (started) {
      report_child(report_context::progress, identity_, {}, *c);
      continue;
    }
    if (started.error() == reason::ignore) {
      if (c->is_temporary()) forget(*c);
      continue;
    }
    report_start_error(*c, started.error());
    return try_again(*c, {});
  }
}

void supervisor_core::try_again(child_record& c, pid last) {
  if (c.has_process() && c.overdue) return;  // given up: it is stopped with the others
  if (c.is != child_record::state::restarting) {
    if (c.spec.is_significant() && c.is == child_record::state::undefined) ++significant_;
    c.is = child_record::state::restarting;
    retries_.insert(c.order, &c);
    if (last) children_->set_process(c, last);  // by which it can still be addressed
  }
  publish(c);
  otp::send(self(), supervisor_retry{c.order});
}

}  // namespace otp::detail
