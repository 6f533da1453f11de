#include "behaviours/system_request.hpp"

#include "process/runtime_core.hpp"

namespace otp::detail {

constinit const envelope_type system_signal = {signal::system, nullptr,
                                               [](envelope* e) { drop_reference(static_cast<request_envelope*>(e)); },
                                               [](const envelope*) -> const void* { return nullptr; }};
constinit const envelope_type stop_signal = {signal::stop, nullptr,
                                             [](envelope* e) { delete static_cast<stop_envelope*>(e); },
                                             [](const envelope*) -> const void* { return nullptr; }};

stop_envelope::stop_envelope(exit_reason r) : envelope(&stop_signal), why(std::move(r)) {}

system_request::system_request(system_op what)
    : reply_envelope(&system_signal, [](envelope* e) { delete static_cast<system_request*>(e); }), op(what) {}

namespace {

exit_reason callback_failed(const exit_reason& why) { return reason::error("callback_failed", why.to_string()); }

void visit(system_subject& subject, const system_request& request, system_reply& reply) {
  system_visitor& visitor = *request.visitor;
  const server_type* mine = subject.type();
  void* object = subject.object();
  if (mine != &visitor.wanted || !object) {
    reply.failure = exit_reason(exit_reason::kind::bad_server_type,
                                "the caller takes it for a " + std::string(visitor.wanted.name) + ", but " +
                                    (mine ? "a " + std::string(mine->name) + " runs there"
                                          : std::string("what runs there has no such state; ask get_state for text")));
    return;
  }
  if (auto failed = guard([&] { visitor.visit(object); })) reply.failure = callback_failed(*failed);
}

}  // namespace

system_reply carry_out(system_subject& subject, system_request& request, system_order& order) {
  system_reply reply;
  std::unique_ptr<debugging>& debug = subject.debug();
  auto switched_on = [&]() -> debugging& {
    if (!debug) debug = std::make_unique<debugging>();
    return *debug;
  };
  std::unique_ptr<debug_hook> removed;
  switch (request.op) {
    case system_op::get_status: {
      reply.status = subject.status();
      if (debug) {
        reply.status.log = debug->log();
        reply.status.debug = debug->settings();
      }
      for (const term& key : get_keys()) {
        std::pair<std::string, std::string> entry;
        if (guard([&] { entry = {key.to_string(), get(key).to_string()}; })) entry.second = "(its to_string failed)";
        reply.status.dictionary.push_back(std::move(entry));
      }
      break;
    }
    case system_op::get_state:
      if (auto failed = guard([&] { reply.text = subject.state(); })) reply.failure = callback_failed(*failed);
      break;
    case system_op::visit: visit(subject, request, reply); break;
    case system_op::suspend: order.next = system_order::what::suspend; break;
    case system_op::resume: order.next = system_order::what::resume; break;
    case system_op::terminate:
      order.next = system_order::what::terminate;
      order.why = request.why;
      break;
    case system_op::trace:
      if (request.on || debug) switched_on().trace(request.on);
      break;
    case system_op::trace_into: switched_on().trace_into(std::move(request.hook)); break;
    case system_op::log:
      if (request.on)
        switched_on().start_log(request.number);
      else if (debug)
        debug->stop_log();
      break;
    case system_op::get_log:
      if (debug) reply.lines = debug->log();
      break;
    case system_op::log_to_file:
      if (!request.on) {
        if (debug) debug->close_file();
      } else if (!switched_on().open_file(request.text)) {
        reply.text = "open_file";
      }
      break;
    case system_op::statistics:
      if (request.on)
        switched_on().start_statistics();
      else if (debug)
        debug->stop_statistics();
      break;
    case system_op::get_statistics:
      if (debug) reply.numbers = debug->statistics();
      break;
    case system_op::install:
      reply.done = switched_on().install(std::move(request.text), std::move(request.hook));
      break;
    case system_op::remove:
      if (debug) removed = debug->remove(request.text);
      reply.done = removed != nullptr;
      break;
    case system_op::no_debug: break;
  }
  // Hooks are user code, and so is their end.
  guard([&] {
    removed.reset();
    if (debug && (request.op == system_op::no_debug || !debug->on())) std::exchange(debug, nullptr).reset();
  });
  return reply;
}

bool answer_system(system_subject& subject, system_request* r, system_order& order) {
  handle_request(r);
  std::optional<system_reply> reply;
  auto failed = guard([&] { reply.emplace(carry_out(subject, *r, order)); });
  if (!reply) {
    reply.emplace();
    reply->failure = failed ? callback_failed(*failed) : exit_reason();
  }
  if (begin_reply(*r)) {
    make_reply(r, std::move(*reply));
    finish_handled(r, true);
  } else {
    request_envelope* left = r;
    {
      runtime_bracket bracket;
      request_done();
    }
    drop_answered(left);
  }
  return !being_ended();
}

}  // namespace otp::detail
