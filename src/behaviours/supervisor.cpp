// The functions of otp::supervisor: starting one, and the requests to it.
#include <otp/supervisor.hpp>

#include "behaviours/supervisor_core.hpp"
#include "behaviours/supervisor_request.hpp"

namespace otp {

namespace detail {

constinit const server_type supervisor_server_type{.name = "otp::supervisor",
                                                   .infos = nullptr,
                                                   .info_count = 0,
                                                   .continues = nullptr,
                                                   .continue_count = 0,
                                                   .any_info = nullptr,
                                                   .terminate = nullptr,
                                                   .state = nullptr,
                                                   .format_status = nullptr};

namespace {

constexpr type_record request_record{"supervisor request", sizeof(supervisor_request),
                                     [](const void*) { return std::string("supervisor request"); }, nullptr};

constinit const server_envelope_type request_type{
    {signal::request, &request_record, [](envelope* e) { drop_reference(static_cast<request_envelope*>(e)); },
     [](const envelope* e) -> const void* { return e; }},
    &supervisor_server_type,
    nullptr};

}  // namespace

supervisor_request::supervisor_request(supervisor_op what)
    : reply_envelope(&request_type, [](envelope* e) { delete static_cast<supervisor_request*>(e); }), op(what) {
  run_expired = what == supervisor_op::terminate_child;
}

supervisor_reply ask(const supervisor_ref& who, const char* function, std::unique_ptr<supervisor_request> request) {
  const child_id about = request->op == supervisor_op::start_child ? request->spec.id() : request->id;
  auto failed = [&](exit_reason cause) {
    return exited(call_failure(std::move(cause), function, who.to_string(),
                               about.empty() ? std::string(request_record.name) : "child " + about.to_string(),
                               infinity));
  };
  auto target = who.find();
  if (!target) throw failed(reason::noproc);
  request_holder<supervisor_request> holder(request.release());
  if (auto why = call_and_wait(*target, holder.r, infinity)) throw failed(std::move(*why));
  return std::move(*holder.r->reply.value);
}

namespace {

result<child_started> started_of(supervisor_reply answer) {
  if (answer.failed) return std::unexpected(std::move(answer.failure));
  return std::move(answer.started);
}
result<void> done_of(supervisor_reply answer) {
  if (answer.failed) return std::unexpected(std::move(answer.failure));
  return {};
}

}  // namespace

std::vector<child_info> which_children(const supervisor_ref& who) {
  return ask(who, "which_children", request_to(supervisor_op::which_children)).children;
}
child_counts count_children(const supervisor_ref& who) {
  return ask(who, "count_children", request_to(supervisor_op::count_children)).counts;
}
std::string callback_module(const supervisor_ref& who) {
  return ask(who, "callback_module", request_to(supervisor_op::callback_module)).text;
}
result<child_started> start_child(const supervisor_ref& who, child_spec spec) {
  auto r = request_to(supervisor_op::start_child);
  r->spec = std::move(spec);
  return started_of(ask(who, "start_child", std::move(r)));
}
result<void> terminate_child(const supervisor_ref& who, const child_id& id) {
  return done_of(ask(who, "terminate_child", request_to(supervisor_op::terminate_child, id)));
}
void stop_supervisor(const supervisor_ref& who, exit_reason why, duration timeout) {
  stop_process(who.find().value_or(pid()), who.to_string(), std::move(why), timeout);
}

// ---- starting ----------------------------------------------------------------------------------------------------

result<pid> start_supervisor(std::unique_ptr<plan_maker> maker, const std::string_view& type, std::string_view module,
                             start_options options) {
  if (auto taken = check_name(options)) return std::unexpected(std::move(*taken));
  options.spawn.link = true;
  options.spawn.trap_exit = true;
  start_ticket* ticket = start_ticket::make();
  ticket_holder holder(ticket);
  auto body = std::make_unique<supervisor_core>(std::move(maker), type, module, options, ticket);
  ticket->add_reference();  // the body's
  auto made = start_body(std::move(body), holder.release(), options.spawn, options.timeout);
  if (!made) return std::unexpected(std::move(made.error()));
  return made->process;
}

namespace {

struct ready_plan final : plan_maker {
  explicit ready_plan(supervisor_plan p) : plan(std::move(p)) {}
  supervisor_plan make() override { return std::move(plan); }
  supervisor_plan plan;
};

constexpr std::string_view supervisor_type = "supervisor";

}  // namespace

result<pid> start_supervisor(supervisor_plan plan, const std::string_view& type, start_options options) {
  if (auto fault = plan.check()) return std::unexpected(std::move(*fault));
  return start_supervisor(std::make_unique<ready_plan>(std::move(plan)), type, type, std::move(options));
}

supervisor_plan plan_of(supervisor_init init) {
  supervisor_plan plan;
  plan.refusal = init.refusal();
  supervisor_spec& spec = init.spec();
  plan.strategy = spec.strategy.value_or(static_cast<strategy>(255));
  plan.strategy_missing = !spec.strategy;
  plan.max_restarts = spec.max_restarts;
  plan.max_seconds = spec.max_seconds;
  plan.auto_shutdown = spec.auto_shutdown;
  plan.children = std::move(spec.children);
  return plan;
}

}  // namespace detail

using namespace detail;

std::string failed_to_start_child::to_string() const {
  return "{failed_to_start_child, " + id.to_string() + ", " + reason.to_string() + "}";
}

std::optional<pid> supervisor_ref::find() const {
  if (!name_.empty()) return name_.whereis();
  if (!pid_) return std::nullopt;
  return pid_;
}

std::string supervisor_ref::to_string() const { return name_.empty() ? pid_.to_string() : name_.to_string(); }

result<server<supervisor>> supervisor::start_link(supervisor_spec spec, start_options options) {
  auto made = start_supervisor(plan_of(supervisor_init(std::move(spec))), supervisor_type, std::move(options));
  if (!made) return std::unexpected(std::move(made.error()));
  return server<supervisor>(*made);
}

result<void> supervisor::check(const supervisor_spec& spec) {
  if (auto fault = plan_of(supervisor_init(spec)).check()) return std::unexpected(std::move(*fault));
  return {};
}

result<child_started> supervisor::start_child(const supervisor_ref& who, extra_arguments extra) {
  auto r = request_to(supervisor_op::start_child);
  r->by_extra = true;
  r->extra = std::move(extra);
  return started_of(ask(who, "start_child", std::move(r)));
}

result<child_started> supervisor::restart_child(const supervisor_ref& who, const child_id& id) {
  return started_of(ask(who, "restart_child", request_to(supervisor_op::restart_child, id)));
}

result<void> supervisor::delete_child(const supervisor_ref& who, const child_id& id) {
  return done_of(ask(who, "delete_child", request_to(supervisor_op::delete_child, id)));
}

result<child_info> supervisor::get_child(const supervisor_ref& who, const child_id& id) {
  auto answer = ask(who, "get_child", request_to(supervisor_op::get_child, id));
  if (answer.failed) return std::unexpected(std::move(answer.failure));
  return std::move(answer.children.front());
}

result<child_spec> supervisor::get_childspec(const supervisor_ref& who, const child_id& id) {
  auto answer = ask(who, "get_childspec", request_to(supervisor_op::get_childspec, id));
  if (answer.failed) return std::unexpected(std::move(answer.failure));
  return std::move(answer.spec);
}

child_spec child_supervisor(child_id id, supervisor_spec spec, start_options options) {
  child_spec made;
  made.id(std::move(id)).type(child_type::supervisor).modules({"otp::supervisor"});
  made.start([spec = std::move(spec), options = std::move(options)] { return supervisor::start_link(spec, options); });
  return made;
}

}  // namespace otp
