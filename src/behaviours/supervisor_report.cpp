#include "behaviours/supervisor_report.hpp"

namespace otp::detail {

namespace {

std::string_view name_of(restart_type type) {
  switch (type) {
    case restart_type::permanent: return "permanent";
    case restart_type::transient: return "transient";
    case restart_type::temporary: return "temporary";
  }
  return "unknown";
}

event about(std::string_view context, const supervisor_identity& who, const exit_reason& why) {
  event e;
  e.what = context;
  e.severity = context == report_context::progress ? severity::info : severity::error;
  e.process = who.process;
  e.name = who.name;
  e.reason = why;
  e.fields = {{"supervisor", who.name}, {"context", std::string(context)}, {"reason", why.to_string()}};
  return e;
}

void add_spec(event& e, const child_spec& spec) {
  e.fields.emplace_back("start", spec.start_text());
  e.fields.emplace_back("restart", name_of(spec.restart()));
  e.fields.emplace_back("significant", spec.is_significant() ? "true" : "false");
  e.fields.emplace_back("shutdown", spec.shutdown().to_string());
  e.fields.emplace_back("type", spec.type() == child_type::supervisor ? "supervisor" : "worker");
}

}  // namespace

void report_child(std::string_view context, const supervisor_identity& who, const exit_reason& why,
                  const child_record& child) {
  if (!event_wanted(context)) return;  // a storm of restarts must not be slowed down by texts that nobody reads
  event e = about(context, who, why);
  e.fields.emplace_back("child", child.process ? child.process.to_string() : "undefined");
  e.fields.emplace_back("id", child.spec.id().to_string());
  add_spec(e, child.spec);
  report(std::move(e));
}

void report_children(std::string_view context, const supervisor_identity& who, const exit_reason& why,
                     std::size_t number, const child_spec& one_of_them) {
  if (!event_wanted(context)) return;
  event e = about(context, who, why);
  e.fields.emplace_back("children", unsigned_text(number));
  e.fields.emplace_back("id", one_of_them.id().to_string());
  add_spec(e, one_of_them);
  report(std::move(e));
}

child_info info_of(const child_record& c, bool with_id) {
  child_info info;
  if (with_id) info.id = c.spec.id();
  if (c.has_process()) info.process = c.process;
  info.state = c.has_process()                           ? child_state::running
               : c.is == child_record::state::restarting ? child_state::restarting
                                                         : child_state::undefined;
  info.type = c.spec.type();
  info.modules = c.spec.modules();
  return info;
}

}  // namespace otp::detail
