#include <otp/dynamic_supervisor.hpp>

namespace otp {

namespace detail {

supervisor_plan plan_of(dynamic_supervisor_init init) {
  supervisor_plan plan;
  plan.what = supervisor_plan::kind::dynamic;
  plan.refusal = init.refusal();
  dynamic_supervisor_spec& spec = init.spec();
  plan.strategy = spec.strategy;
  plan.max_restarts = spec.max_restarts;
  plan.max_seconds = spec.max_seconds;
  plan.max_children = spec.max_children;
  plan.extra = std::move(spec.extra);
  return plan;
}

namespace {
constexpr std::string_view dynamic_type = "dynamic_supervisor";
}

}  // namespace detail

result<server<dynamic_supervisor>> dynamic_supervisor::start_link(dynamic_supervisor_spec spec, start_options options) {
  auto made = detail::start_supervisor(detail::plan_of(dynamic_supervisor_init(std::move(spec))), detail::dynamic_type,
                                       std::move(options));
  if (!made) return std::unexpected(std::move(made.error()));
  return server<dynamic_supervisor>(*made);
}

result<void> dynamic_supervisor::terminate_child(const supervisor_ref& who, pid child) {
  if (!child) throw bad_argument("terminate_child: this is not a process; give the pid of a child");
  return detail::terminate_child(who, child_id(child));
}

child_spec child_dynamic_supervisor(start_options options, dynamic_supervisor_spec spec) {
  child_spec made;
  if (options.name.empty())
    made.id("otp::dynamic_supervisor");
  else
    made.id(options.name.id());
  made.type(child_type::supervisor).modules({"otp::dynamic_supervisor"});
  made.start(
      [spec = std::move(spec), options = std::move(options)] { return dynamic_supervisor::start_link(spec, options); });
  return made;
}

}  // namespace otp
