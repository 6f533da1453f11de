// The supervisor's messages: what goes before everything, what waits, and the answers to requests.
#include "behaviours/supervisor_core.hpp"

#include "base/planted.hpp"
#include "behaviours/stop_budget.hpp"
#include "behaviours/supervisor_signals.hpp"
#include "behaviours/system_request.hpp"

namespace otp::detail {

namespace {
// What debugging shows of a reply.
constexpr type_record reply_record{"supervisor reply", sizeof(supervisor_reply),
                                   [](const void*) { return std::string("supervisor reply"); }, nullptr};
}  // namespace

supervisor_core::supervisor_core(std::unique_ptr<plan_maker> maker, const std::string_view& type,
                                 std::string_view module, const start_options& options, start_ticket* ticket)
    : maker_(std::move(maker)),
      type_(type),
      module_(module),
      name_(options.name),
      ticket_(ticket),
      debug_options_(options.debug) {}

supervisor_core::~supervisor_core() {
  if (ticket_) ticket_->drop();  // it was never started
  while (envelope* e = held_first_) {
    held_first_ = e->next;
    destroy(e);
  }
}

// ---- what arrives ------------------------------------------------------------------------------------------------

bool supervisor_core::has_work() const noexcept { return held_first_ && !busy() && !suspended_; }

void supervisor_core::work() {
  envelope* e = nullptr;
  {
    runtime_bracket bracket;
    e = held_first_;
    held_first_ = e->next;
    if (!held_first_) held_last_ = nullptr;
    e->next = nullptr;
  }
  take(e);
}

void supervisor_core::hold(envelope* e) {
  runtime_bracket bracket;
  if (e->type->kind == signal::request) request_done();  // it is kept here, and failed by ended() or given_up()
  e->next = nullptr;
  (held_last_ ? held_last_->next : held_first_) = e;
  held_last_ = e;
}

void supervisor_core::receive(envelope* e) {
  bool waits = busy() || held_first_ || suspended_;
  switch (e->type->kind) {
    case signal::system: return take_system(static_cast<request_envelope*>(e));
    case signal::stop:
      if (busy() || (held_first_ && !suspended_)) return hold(e);
      return take(e);
    case signal::request:
      if (doing_ == activity::ending) {
        runtime_bracket bracket;
        if (refuse_start(static_cast<request_envelope*>(e))) return;
      }
      if (waits) return hold(e);
      return take(e);
    default: break;
  }
  if (e->type == &value_envelope<exit_signal>::type_of) {
    auto& signal = static_cast<value_envelope<exit_signal>*>(e)->value;
    bool order = ordered_by_parent(signal, parent_);
    child_record* c = order || !children_ ? nullptr : children_->find(signal.from);
    bool awaited = c && (c->is == child_record::state::stopping || (busy() && in_group(*c)));
    if (c && waits && !awaited) return hold(e);
    return take(e);
  }
  if (e->type == &value_envelope<supervisor_retry>::type_of && waits) return hold(e);
  take(e);
}

void supervisor_core::take(envelope* e) {
  if (debug_) [[unlikely]] {
    tell_in(*e);
    if (being_ended()) return hold(e);  // it ends with what is held
  }
  if (e->type->kind == signal::request) return take_request(static_cast<supervisor_request*>(e));
  if (e->type->kind == signal::stop) {
    exit_reason why = std::move(static_cast<stop_envelope*>(e)->why);
    destroy(e);
    return order_end(std::move(why));
  }
  if (e->type == &value_envelope<exit_signal>::type_of) {
    count_handled();
    exit_signal signal = std::move(static_cast<value_envelope<exit_signal>*>(e)->value);
    destroy(e);
    return take_exit(signal);
  }
  if (e->type == &value_envelope<down>::type_of) {
    count_handled();
    down d = std::move(static_cast<value_envelope<down>*>(e)->value);
    destroy(e);
    return take_down(d);
  }
  if (e->type == &value_envelope<supervisor_tick>::type_of) {
    count_handled();
    destroy(e);
    tick_at_ = INT64_MAX;
    return look_at_stops();
  }
  if (e->type == &value_envelope<supervisor_retry>::type_of) {
    count_handled();
    std::uint64_t order = static_cast<value_envelope<supervisor_retry>*>(e)->value.order;
    destroy(e);
    if (child_record** c = retries_.find(order)) restart(**c);
    return;
  }
  unexpected(e);
}

void supervisor_core::take_exit(const exit_signal& signal) {
  if (ordered_by_parent(signal, parent_)) return order_end(signal.reason);
  child_record* c = children_ ? children_->find(signal.from) : nullptr;
  if (!c) return;                        // not a child: nothing of the supervisor's
  if (linked_with(signal.from)) return;  // a live child called otp::exit on its supervisor
  if (planted(bug::restart_in_shutdown) && c->is == child_record::state::running && told_to_end_)
    return child_ended(*c, signal.reason);
  if (c->is == child_record::state::stopping || (c->is == child_record::state::running && busy() && in_group(*c)))
    return stopped(*c, signal.reason);
  if (c->is == child_record::state::running) child_ended(*c, signal.reason);
}

void supervisor_core::take_down(const down& d) {
  child_record* c = children_ ? children_->find(d.process) : nullptr;
  if (!c || c->is != child_record::state::stopping || c->monitor != d.reference.number()) return;
  if (d.reason == reason::noproc) {
    if (linked_with(d.process)) return;  // it had ended already: its exit signal, with its own reason, is on its way
    if (auto own = held_exit_of(d.process)) return stopped(*c, std::move(*own));
  }
  stopped(*c, d.reason);
}

void supervisor_core::unexpected(envelope* e) {
  count_unhandled();
  if (e->type->kind == signal::cast || e->type->kind == signal::reply) return destroy(e);
  message owned(e);
  report({.what = "unhandled_message",
          .severity = severity::warning,
          .process = self(),
          .name = identity_.name,
          .fields = {{"server", std::string(type_)},
                     {"message", owned.to_string()},
                     {"why", "a supervisor takes no messages"},
                     {"advice", "use the functions of otp::supervisor, or send to one of its children"}}});
}

struct supervisor_core::subject final : system_subject {
  explicit subject(supervisor_core& c) : core(c) {}
  server_status status() override { return core.status(); }
  std::string state() override { return core.state_text(); }
  const server_type* type() const override { return nullptr; }
  void* object() override { return nullptr; }
  std::unique_ptr<debugging>& debug() override { return core.debug_; }
  supervisor_core& core;
};

void supervisor_core::take_system(request_envelope* e) {
  auto* r = static_cast<system_request*>(e);
  if (r->op == system_op::suspend) suspended_ = true;
  if (r->op == system_op::resume || r->op == system_op::terminate) suspended_ = false;
  subject me(*this);
  system_order order;
  if (!answer_system(me, r, order)) return;
  if (order.next == system_order::what::terminate) order_end(std::move(order.why));
}

void supervisor_core::tell(sys::debug_facts&& facts) {
  facts.name = identity_.name;
  debug_->tell(facts);
}

void supervisor_core::tell_in(const envelope& e) {
  const bool call = e.type->kind == signal::request;
  tell({.what = sys::debug_kind::in,
        .sort = call ? "call" : "info",
        .message = e.type->record,
        .payload = e.type->record ? e.type->payload(&e) : nullptr,
        .other = call ? static_cast<const request_envelope&>(e).caller : pid()});
}

server_status supervisor_core::status() const {
  server_status s;
  s.pid = self();
  s.parent = parent_;
  s.type = std::string(type_);
  s.name = name_.empty() ? self().to_string() : name_.to_string();
  s.suspended = suspended_;
  s.state = state_text();
  return s;
}

std::string supervisor_core::state_text() const {
  static constexpr const char* doing[] = {"idle", "stopping a child", "stopping siblings of a failed child",
                                          "stopping partitions", "stopping all children"};
  return std::string(type_) + "{strategy: " + to_string(plan_.strategy) +
         ", children: " + unsigned_text(children_ ? children_->size() : 0) +
         ", doing: " + doing[static_cast<int>(doing_)] + "}";
}

// ---- requests ----------------------------------------------------------------------------------------------------

namespace {

supervisor_reply failed(exit_reason why) {
  supervisor_reply r;
  r.failed = true;
  r.failure = std::move(why);
  return r;
}
supervisor_reply outcome_of(result<child_started> r) {
  if (!r) return failed(std::move(r.error()));
  supervisor_reply answer;
  answer.started = std::move(*r);
  return answer;
}

}  // namespace

void supervisor_core::take_request(supervisor_request* r) {
  auto& type = static_cast<const server_envelope_type&>(*r->type);
  {
    runtime_bracket bracket;
    request_done();
    asker_ = r;  // whatever becomes of this process, its caller is told
  }
  if (type.server != &supervisor_server_type) {
    asker_ = nullptr;
    count_handled();
    fail_request(r, exit_reason(exit_reason::kind::bad_server_type, "the caller takes it for a " +
                                                                        std::string(type.server->name) + ", but a " +
                                                                        std::string(type_) + " runs there"));
    return;
  }
  if (!otp::detail::take_request(*r)) {
    asker_ = nullptr;
    count_expired();
    return drop_answered(r);
  }
  if (r->op == supervisor_op::terminate_child) return terminate_child(r);
  if (r->op == supervisor_op::resize) return resize(r);
  supervisor_reply answer = answer_to(*r);
  if (being_ended()) return;
  reply_to_asker(std::move(answer));
}

void supervisor_core::reply_to_asker(supervisor_reply&& value) {
  if (debug_ && asker_) [[unlikely]]
    tell({.what = sys::debug_kind::out,
          .message = &reply_record,
          .other = asker_->caller,
          .subject = this,
          .state = [](const void* self) { return static_cast<const supervisor_core*>(self)->state_text(); }});
  runtime_bracket bracket;
  supervisor_request* r = std::exchange(asker_, nullptr);
  asked_for_ = nullptr;
  if (r) write_reply(r, std::move(value));
}

supervisor_reply supervisor_core::answer_to(supervisor_request& r) {
  supervisor_reply answer;
  switch (r.op) {
    case supervisor_op::start_child: return start_child(r);
    case supervisor_op::restart_child: return restart_child(r);
    case supervisor_op::delete_child: return delete_child(r);
    case supervisor_op::which_children: return which_children();
    case supervisor_op::count_children: return count_children();
    case supervisor_op::callback_module: answer.text = std::string(module_); return answer;
    case supervisor_op::get_child:
    case supervisor_op::get_childspec: {
      child_record* c = addressed(r.id);
      if (!c) return failed(reason::not_found);
      answer.children.push_back(info_of(*c, !by_process()));
      answer.spec = c->spec;
      return answer;
    }
    case supervisor_op::partitions:
      if (!routes_) return failed(exit_reason(exit_reason::kind::bad_argument, "it is not a partition supervisor"));
      answer.number = static_cast<std::int64_t>(routes_->count.load());
      return answer;
    case supervisor_op::terminate_child:
    case supervisor_op::resize: break;
  }
  return answer;
}

// By id, or by process where children have no id of their own.
child_record* supervisor_core::addressed(const child_id& id) const noexcept {
  if (!by_process()) return children_->find(id);
  const pid* process = id.value().get_if<pid>();
  return process ? children_->find(*process) : nullptr;
}

supervisor_reply supervisor_core::start_child(supervisor_request& r) {
  if (told_to_end_ || doing_ == activity::ending) return failed(reason::stopping);
  bool simple = plan_.strategy == strategy::simple_one_for_one;
  bool dynamic = plan_.what == supervisor_plan::kind::dynamic;
  auto refused = [](std::string text) { return failed(exit_reason(exit_reason::kind::bad_argument, std::move(text))); };
  if (plan_.what == supervisor_plan::kind::partition)
    return refused("start_child: the partitions of a partition supervisor are fixed; use resize");
  if (simple != r.by_extra)
    return refused(simple ? "start_child: a simple_one_for_one supervisor starts its template; write "
                            "start_child(supervisor, otp::extra(arguments...))"
                          : "start_child: extra arguments are for simple_one_for_one supervisors; give a child_spec");
  if (simple) {
    r.spec = plan_.children.front();
  } else {
    auto faults = r.spec.faults(!dynamic, "child");
    if (r.spec.is_significant() && plan_.auto_shutdown == auto_shutdown::never)
      faults.push_back(significance_fault("child", dynamic));
    if (!faults.empty()) return failed(exit_reason(exit_reason::kind::bad_argument, joined(faults)));
  }
  if (dynamic && static_cast<std::int64_t>(children_->size()) >= plan_.max_children) {
    ++refused_;
    return failed(exit_reason(exit_reason::kind::max_children,
                              "the limit of " + integer_text(plan_.max_children) +
                                  " children is reached; raise dynamic_supervisor_spec::max_children"));
  }
  if (!by_process())
    if (child_record* c = children_->find(r.spec.id()))
      return failed(c->has_process() ? exit_reason::of_pid(exit_reason::kind::already_started, c->process)
                                     : exit_reason(reason::already_present));
  child_record& c = children_->append(std::move(r.spec), simple ? std::move(r.extra) : plan_.extra);
  auto started = start_one(c);
  if (being_ended() || started) return outcome_of(std::move(started));
  bool ignored = started.error() == reason::ignore;
  bool kept = c.has_process() || (ignored && !by_process() && !c.is_temporary());
  if (!kept) forget(c);
  if (ignored && !dynamic) return {};
  return outcome_of(std::move(started));
}

supervisor_reply supervisor_core::restart_child(supervisor_request& r) {
  if (by_process()) return failed(reason::simple_one_for_one);
  child_record* c = children_->find(r.id);
  if (!c) return failed(reason::not_found);
  if (c->is == child_record::state::restarting) return failed(reason::restarting);
  if (c->is != child_record::state::undefined) return failed(reason::running);
  if (told_to_end_) return failed(reason::stopping);
  auto started = start_one(*c);
  if (!started && started.error() == reason::ignore) return {};
  return outcome_of(std::move(started));
}

supervisor_reply supervisor_core::delete_child(supervisor_request& r) {
  if (by_process()) return failed(reason::simple_one_for_one);
  child_record* c = children_->find(r.id);
  if (!c) return failed(reason::not_found);
  if (c->is == child_record::state::restarting) return failed(reason::restarting);
  if (c->is != child_record::state::undefined) return failed(reason::running);
  if (routes_)
    return failed(exit_reason(exit_reason::kind::bad_argument, "delete_child: partitions are fixed; use resize"));
  forget(*c);
  return {};
}

void supervisor_core::terminate_child(supervisor_request* r) {
  child_record* c = addressed(r->id);
  if (!c) {
    if (plan_.strategy != strategy::simple_one_for_one) return reply_to_asker(failed(reason::not_found));
    const pid* process = r->id.value().get_if<pid>();
    if (!process) return reply_to_asker(failed(reason::simple_one_for_one));
    return reply_to_asker(is_alive(*process) ? failed(reason::not_found) : supervisor_reply());
  }
  if (c->is == child_record::state::running) {
    doing_ = activity::terminating;
    target_ = asked_for_ = c;
    return begin_stop(*c);
  }
  if (c->is == child_record::state::restarting) {
    set_stopped(*c);
    if (by_process()) forget(*c);
  }
  reply_to_asker({});
}

supervisor_reply supervisor_core::which_children() const {
  supervisor_reply answer;
  answer.children.reserve(children_->size());
  for (child_record* c = children_->last(); c; c = c->previous) answer.children.push_back(info_of(*c, !by_process()));
  return answer;
}

supervisor_reply supervisor_core::count_children() const {
  supervisor_reply answer;
  child_counts& n = answer.counts;
  for (child_record* c = children_->first(); c; c = c->next) {
    ++(c->spec.type() == child_type::supervisor ? n.supervisors : n.workers);
    if (c->has_process() && is_alive(c->process)) ++n.active;
  }
  n.specs = plan_.strategy == strategy::simple_one_for_one ? 1 : children_->size();
  n.refused = refused_;
  return answer;
}

void supervisor_core::resize(supervisor_request* r) {
  auto refused = [&](std::string text) {
    reply_to_asker(failed(exit_reason(exit_reason::kind::bad_argument, std::move(text))));
  };
  if (!routes_) return refused("resize: it is not a partition supervisor");
  if (r->number < 0 || r->number > static_cast<std::int64_t>(routes_->size))
    return refused("resize: " + integer_text(r->number) + " partitions; give 0 to " + unsigned_text(routes_->size) +
                   ", the number that it was started with");
  auto before = routes_->count.load();
  auto wanted = static_cast<std::size_t>(r->number);
  if (wanted < before) {
    routes_->count.store(wanted);  // nobody is sent to a partition that is about to end
    r->number = static_cast<std::int64_t>(before);
    doing_ = activity::resizing;
    boundary_ = wanted;
    cursor_ = children_->last();
    sort_out_held();
    return stop_next();
  }
  for (child_record* c = children_->first(); c && c->order <= wanted; c = c->next) {
    if (c->is != child_record::state::undefined || c->order <= before) continue;
    auto started = start_one(*c);
    if (being_ended()) return;
    if (!started && started.error() != reason::ignore) return reply_to_asker(outcome_of(std::move(started)));
  }
  routes_->count.store(wanted);
  supervisor_reply answer;
  answer.number = static_cast<std::int64_t>(before);
  reply_to_asker(std::move(answer));
}

// ---- the end -----------------------------------------------------------------------------------------------------

void supervisor_core::ended(const exit_reason& why) noexcept {
  runtime_bracket bracket;
  try {
    if (child_record* c = starting_.load())
      report_child(report_context::start_error, identity_,
                   exit_reason(exit_reason::kind::stopping,
                               "its supervisor ended (" + why.to_string() + ") while it was being started"),
                   *c);
  } catch (...) {
    // No memory for a report: the report is what is given up.
  }
  let_go(why);
}

// Called by another thread while the process is kept out of the runtime.
void supervisor_core::given_up(const exit_reason& why) noexcept {
  if (ticket_) ticket_->failed(why);
  let_go(why);
}

std::string supervisor_core::busy_with() const {
  child_record* c = starting_.load();
  return c ? "starting child " + c->spec.id().to_string() + " (" + c->spec.start_text() + ")" : std::string();
}

void supervisor_core::let_go(const exit_reason& why) noexcept {
  name_.release();
  try {
    if (routes_) partition_directory::here().remove(identity_.process);
    if (limit_ != INT64_MAX) stop_budget::here().forget(identity_.process);
  } catch (...) {
    // From a thread outside, when the runtime gives up whoever is left: its tables end with it.
  }
  if (supervisor_request* r = std::exchange(asker_, nullptr)) fail_request(r, why);
  // The requests that wait; the rest is destroyed with the body.
  envelope* others = nullptr;
  for (envelope* e = std::exchange(held_first_, nullptr); e;) {
    envelope* next = e->next;
    if (e->type->kind != signal::stop) count_dropped();
    if (e->type->kind == signal::request) {
      fail_request(static_cast<request_envelope*>(e), why);
    } else {
      e->next = others;
      others = e;
    }
    e = next;
  }
  held_first_ = others;
}

}  // namespace otp::detail
