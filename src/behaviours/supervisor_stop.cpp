// Stopping children: `shutdown`, the wait for the end, the kill, and giving up on what does not even end then.
//
// A child is watched by a monitor, because it may have unlinked itself. If it is linked, its exit signal comes as well
// and tells the reason better: the monitor of a process that has ended says no more than `noproc`.
#include "base/planted.hpp"
#include "behaviours/stop_budget.hpp"
#include "behaviours/supervisor_core.hpp"
#include "behaviours/supervisor_signals.hpp"

#include <otp/timer.hpp>

#include <algorithm>

namespace otp::detail {

namespace {

constexpr std::int64_t never = INT64_MAX;
constexpr std::size_t odd_ends_max = 100;  // distinct reasons told apart when many children end at once

std::int64_t nanoseconds_now() noexcept { return otp::now().time_since_epoch().count(); }

}  // namespace

// ---- the order to end --------------------------------------------------------------------------------------------

void supervisor_core::order_end(exit_reason why) {
  told_to_end_ = true;
  if (doing_ == activity::ending) return hurry();  // asked again: the runtime is being stopped meanwhile
  bool was_busy = busy();
  doing_ = activity::ending;
  end_reason_ = std::move(why);
  failed_ = nullptr;
  if (asker_ && !asked_for_) {
    supervisor_reply late;
    late.failed = true;
    late.failure = reason::stopping;
    reply_to_asker(std::move(late));
  }
  if (!children_) return end_now();
  limit_ = stop_budget::here().limit_under(parent_);
  sort_out_held();
  if (by_process()) {
    stop_started_ = otp::now();
    share_budget();
    for (child_record *c = children_->first(), *next = nullptr; c; c = next) {
      next = c->next;
      if (c->is == child_record::state::running) {
        ++left_;
        begin_stop(*c);
      } else if (c->is == child_record::state::stopping) {
        ++left_;
      }
    }
    if (left_ == 0) return end_now();
    return look_at_stops();
  }
  cursor_ = children_->last();
  if (was_busy && target_) {
    // The child that is being stopped goes first; the rest follows.
    share_budget();
    return look_at_stops();
  }
  stop_next();
}

// The order came once more while it is carried out: perhaps the budget of the runtime's stop applies by now.
void supervisor_core::hurry() {
  if (limit_ != never || !children_) return;
  limit_ = stop_budget::here().limit_under(parent_);
  if (limit_ == never) return;
  share_budget();
  auto nudge = [](const child_record& c) {
    if (c.is == child_record::state::stopping && !c.killed && c.spec.type() == child_type::supervisor)
      otp::exit(c.process, reason::shutdown);
  };
  if (target_) nudge(*target_);
  if (by_process())
    for (child_record* c = children_->first(); c; c = c->next) nudge(*c);
  look_at_stops();
}

// How much of the budget the children that are being stopped now may use: half of what is left, unless they are the
// last; a part of it is kept for the kill.
void supervisor_core::share_budget() {
  kill_by_ = abandon_by_ = never;
  if (limit_ == never) return;
  std::int64_t now = nanoseconds_now();
  std::int64_t left = std::max<std::int64_t>(limit_ - now, 0);
  bool last = by_process() || !cursor_;
  kill_by_ = now + (last ? left / 4 * 3 : left / 2);
  abandon_by_ = kill_by_ + (limit_ - kill_by_) / 2;
  stop_budget::here().set(self(), kill_by_);
}

// ---- one child ---------------------------------------------------------------------------------------------------

bool supervisor_core::in_group(const child_record& c) const noexcept {
  switch (doing_) {
    case activity::ending: return true;
    case activity::regrouping:
    case activity::resizing: return c.order > boundary_;
    case activity::idle:
    case activity::terminating: return false;
  }
  return false;
}

void supervisor_core::begin_stop(child_record& c) {
  c.is = child_record::state::stopping;
  c.killed = false;
  c.monitor = monitor(c.process).number();
  publish(c);
  if (!by_process() || doing_ != activity::ending) {
    target_asked_ = otp::now();
    share_budget();
  }
  if (planted(bug::unlink_before_shutdown)) {
    unlink(c.process);
    yield();
  }
  if (c.spec.shutdown().is_brutal_kill() || c.overdue)
    kill(c);
  else
    otp::exit(c.process, reason::shutdown);
  if (!by_process() || doing_ != activity::ending) look_at_stops();
}

void supervisor_core::kill(child_record& c) {
  c.killed = true;
  otp::exit(c.process, reason::kill);  // and, after kill_budget, the runtime gives it up
}

// Kills what is due, and arranges for the next look.
void supervisor_core::look_at_stops() {
  std::int64_t now = nanoseconds_now();
  std::int64_t next = never;
  auto look = [&](child_record& c) {
    if (c.is != child_record::state::stopping) return;
    if (!c.killed) {
      shutdown_time time = c.spec.shutdown();
      std::int64_t start = (&c == target_ ? target_asked_ : stop_started_).time_since_epoch().count();
      std::int64_t due =
          time.is_infinity() || time.time().count() > never - start ? never : start + time.time().count();
      due = std::min(due, kill_by_);
      if (due > now) {
        next = std::min(next, due);
        return;
      }
      kill(c);
    }
    if (abandon_by_ > now) {
      next = std::min(next, abandon_by_);
    } else if (!abandon_process(c.process, "child " + c.spec.id().to_string() + " of supervisor " + identity_.name +
                                               " did not end in its share of the time that the stop may take")) {
      next = std::min(next, now + 10'000'000);
    }
  };
  if (by_process() && doing_ == activity::ending) {
    for (child_record* c = children_->first(); c; c = c->next) look(*c);
  } else if (target_) {
    look(*target_);
  }
  if (next != never) wake_at(next);
}

// One timer for all waits: it stays armed when a wait ends early, and the next one usually needs it no sooner.
void supervisor_core::wake_at(std::int64_t moment) {
  if (tick_at_ <= moment) return;
  if (tick_at_ != never) cancel_timer(tick_);
  tick_at_ = moment;
  tick_ = send_at(instant(duration(moment)), self(), supervisor_tick{});
}

bool supervisor_core::fits(const child_record& c, const exit_reason& why) const {
  bool brutal = c.spec.shutdown().is_brutal_kill();
  if (why == reason::killed) return brutal;
  if (why == reason::shutdown && !brutal) return true;
  return why.is_expected() && c.spec.restart() != restart_type::permanent;
}

// A child of those that are to be stopped has ended, by that or by itself.
void supervisor_core::stopped(child_record& c, exit_reason why) {
  bool target = &c == target_;
  bool asked_for = &c == asked_for_;
  bool many = by_process() && doing_ == activity::ending;
  settle(c, why);
  if (target) target_ = nullptr;
  if (asked_for) reply_to_asker({});
  if (many) {
    if (--left_ == 0) end_now();
    return;
  }
  if (!target) return;
  if (doing_ == activity::terminating)
    doing_ = activity::idle;
  else
    stop_next();
}

void supervisor_core::settle(child_record& c, const exit_reason& why) {
  if (!fits(c, why) || c.overdue) {
    if (by_process() && doing_ == activity::ending)
      note_odd_end(c, why);
    else
      report_child(report_context::shutdown_error, identity_, why, c);
  }
  set_stopped(c);
  if (by_process() || c.is_temporary()) forget(c);
}

void supervisor_core::note_odd_end(const child_record& c, const exit_reason& why) {
  bool room = odd_ends_.size() < odd_ends_max;
  odd_end& entry = odd_ends_[room ? why.to_string() : std::string("other reasons")];
  if (entry.number++ > 0) return;
  entry.why = room ? why : exit_reason("other reasons");
  entry.spec = c.spec;
}

// ---- one after the other -----------------------------------------------------------------------------------------

void supervisor_core::stop_next() {
  while (cursor_ && in_group(*cursor_)) {
    child_record& c = *cursor_;
    cursor_ = c.previous;
    if (c.is == child_record::state::running) {
      target_ = &c;
      return begin_stop(c);
    }
    if (c.is == child_record::state::restarting) set_stopped(c);
  }
  cursor_ = nullptr;
  all_stopped();
}

void supervisor_core::all_stopped() {
  switch (std::exchange(doing_, activity::idle)) {
    case activity::ending: doing_ = activity::ending; return end_now();
    case activity::regrouping: return start_group();
    case activity::resizing: {
      supervisor_reply answer;
      answer.number = asker_ ? asker_->number : 0;
      return reply_to_asker(std::move(answer));
    }
    case activity::idle:
    case activity::terminating: return;
  }
}

void supervisor_core::end_now() {
  for (auto& [text, odd] : odd_ends_)
    report_children(report_context::shutdown_error, identity_, odd.why, odd.number, odd.spec);
  if (!end_reason_.is_expected() && !ticket_)
    report({.what = "server_terminated",
            .severity = severity::error,
            .process = self(),
            .name = identity_.name,
            .reason = end_reason_,
            .fields = {{"type", std::string(type_)}}});
  if (ticket_) {
    name_.release();
    ticket_->failed_at_end(end_reason_);
  }
  if (tick_at_ != never) cancel_timer(tick_);
  end_with(end_reason_);
}

// ---- what was held back before -----------------------------------------------------------------------------------

// When a group begins to be stopped: the ends of its children that wait their turn are taken for what they are, and
// nobody is started any more by a supervisor that ends.
void supervisor_core::sort_out_held() {
  envelope* kept_first = nullptr;
  envelope* kept_last = nullptr;
  envelope* out_first = nullptr;
  envelope* out_last = nullptr;
  {
    runtime_bracket bracket;
    for (envelope* e = std::exchange(held_first_, nullptr); e;) {
      envelope* next = std::exchange(e->next, nullptr);
      bool out = false;
      if (e->type == &value_envelope<exit_signal>::type_of) {
        child_record* c = children_->find(static_cast<value_envelope<exit_signal>*>(e)->value.from);
        out = c && c->is == child_record::state::running && in_group(*c);
      } else if (doing_ == activity::ending && e->type->kind == signal::request &&
                 refuse_start(static_cast<request_envelope*>(e))) {
        e = next;
        continue;
      }
      envelope*& first = out ? out_first : kept_first;
      envelope*& last = out ? out_last : kept_last;
      (last ? last->next : first) = e;
      last = e;
      e = next;
    }
    held_first_ = kept_first;
    held_last_ = kept_last;
  }
  while (envelope* e = out_first) {
    out_first = std::exchange(e->next, nullptr);
    count_handled();
    exit_signal signal = std::move(static_cast<value_envelope<exit_signal>*>(e)->value);
    destroy(e);
    if (linked_with(signal.from)) continue;  // it is not its end: see take_exit
    if (child_record* c = children_->find(signal.from)) settle(*c, signal.reason);
  }
}

// A supervisor that ends starts nobody, and says so at once: its end may take long. Inside a bracket.
bool supervisor_core::refuse_start(request_envelope* e) {
  if (static_cast<const server_envelope_type*>(e->type)->server != &supervisor_server_type) return false;
  auto* r = static_cast<supervisor_request*>(e);
  if (r->op != supervisor_op::start_child && r->op != supervisor_op::restart_child) return false;
  request_done();
  if (!otp::detail::take_request(*r)) {
    count_expired();
    drop_answered(r);
    return true;
  }
  supervisor_reply refusal;
  refusal.failed = true;
  refusal.failure = reason::stopping;
  write_reply(r, std::move(refusal));
  return true;
}

std::optional<exit_reason> supervisor_core::held_exit_of(pid process) {
  envelope* before = nullptr;
  for (envelope* e = held_first_; e; before = e, e = e->next) {
    if (e->type != &value_envelope<exit_signal>::type_of) continue;
    auto& signal = static_cast<value_envelope<exit_signal>*>(e)->value;
    if (signal.from != process) continue;
    exit_reason why = std::move(signal.reason);
    {
      runtime_bracket bracket;
      (before ? before->next : held_first_) = e->next;
      if (held_last_ == e) held_last_ = before;
    }
    count_handled();
    destroy(e);
    return why;
  }
  return std::nullopt;
}

}  // namespace otp::detail
