// Handlers of telemetry events.
//
// Rules
// 1. A runtime has no table until somebody attaches a handler; then runtime_core::telemetry points to it until the
//    runtime ends. Whoever executes an event looks at that pointer first (acquire, from attach()).
// 2. The list of handlers never changes: who changes it publishes another under `lock`. A call takes the present list
//    along, so a handler may run once more after it was detached; its last owner destroys it.
// 3. No lock is held while a handler runs.
#include "process/runtime_core.hpp"

#include <otp/telemetry.hpp>

#include <atomic>

namespace otp::telemetry {

namespace {

struct attached_handler {
  attachment who;
  std::shared_ptr<handler> run;
};
using handler_list = std::vector<std::shared_ptr<const attached_handler>>;

struct table final : otp::detail::kept {
  std::atomic<std::size_t> count{0};
  std::mutex lock;
  std::shared_ptr<const handler_list> handlers = std::make_shared<handler_list>();  // guarded by lock

  std::shared_ptr<const handler_list> all() {
    std::lock_guard guard(lock);
    return handlers;
  }
  template <class Which>
  bool take_out(Which&& which) {
    std::shared_ptr<const handler_list> before;  // goes after the lock: a handler's end is user code
    std::lock_guard guard(lock);
    before = handlers;
    handler_list rest = *before;
    if (std::erase_if(rest, which) == 0) return false;
    count = rest.size();
    handlers = std::make_shared<const handler_list>(std::move(rest));
    return true;
  }
};

table* table_of(const otp::detail::runtime_core* core) noexcept {
  return core ? static_cast<table*>(core->telemetry.load(std::memory_order_acquire)) : nullptr;
}
table* table_here() noexcept { return table_of(otp::detail::runtime_core::current()); }

bool below(std::string_view name, std::string_view prefix) noexcept {
  return prefix.empty() || (name.starts_with(prefix) && (name.size() == prefix.size() || name[prefix.size()] == '.'));
}

}  // namespace

bool attached(std::string_view name) noexcept {
  table* t = table_here();
  if (!t || t->count.load(std::memory_order_relaxed) == 0) [[likely]]
    return false;
  const auto all = t->all();
  for (auto& h : *all)
    if (below(name, h->who.prefix) || below(h->who.prefix, name)) return true;
  return false;
}

bool detach(std::string_view id) {
  otp::detail::require_runtime("telemetry.detach");
  table* t = table_here();
  return t && t->take_out([&](auto& h) { return h->who.id == id; });
}

std::vector<attachment> handlers(std::string_view prefix) {
  otp::detail::require_runtime("telemetry.handlers");
  std::vector<attachment> found;
  table* t = table_here();
  if (!t) return found;
  const auto all = t->all();
  for (auto& h : *all)
    if (below(h->who.prefix, prefix) || below(prefix, h->who.prefix)) found.push_back(h->who);
  return found;
}

namespace detail {

bool attach(std::string id, std::string prefix, std::shared_ptr<handler> run) {
  otp::detail::runtime_core& core = otp::detail::require_runtime("telemetry.attach");
  static const char key = 0;
  auto& t = static_cast<table&>(otp::detail::keep_with_runtime(
      core, &key,
      [](otp::detail::runtime_core&) -> std::unique_ptr<otp::detail::kept> { return std::make_unique<table>(); }));
  auto made = std::make_shared<attached_handler>(attached_handler{{std::move(id), std::move(prefix)}, std::move(run)});
  {
    std::lock_guard guard(t.lock);
    for (auto& h : *t.handlers)
      if (h->who.id == made->who.id) return false;
    handler_list list = *t.handlers;
    list.push_back(std::move(made));
    t.count = list.size();
    t.handlers = std::make_shared<const handler_list>(std::move(list));
  }
  core.telemetry.store(&t, std::memory_order_release);
  return true;
}

void execute(const occurrence& what) {
  table* t = table_here();
  if (!t) return;
  otp::detail::process* p = otp::detail::current_process();
  auto all = t->all();
  for (auto& h : *all) {
    if (!below(what.name(), h->who.prefix)) continue;
    std::optional<exit_reason> failed;
    if (p) {
      failed = otp::detail::guarded(*p, [&] { h->run->handle(what); });
      if (p->dying) return;  // the next wait of its own ends the process
    } else {
      try {
        h->run->handle(what);
      } catch (...) {
        failed = exit_reason::of_current_exception();
      }
    }
    if (!failed || !t->take_out([&](auto& other) { return other == h; })) continue;
    report({.what = "telemetry_handler_failed",
            .severity = severity::error,
            .process = self(),
            .reason = *failed,
            .fields = {
                {"handler", h->who.id}, {"event", std::string(what.name())}, {"why", "it threw, and was detached"}}});
    // Each failure detaches a handler before it is told: it comes to an end.
    telemetry::execute(
        "telemetry.handler.failure", {{"count", 1}},
        {{"handler_id", h->who.id}, {"event_name", std::string(what.name())}, {"reason", failed->to_string()}});
  }
}

open_span::open_span(std::string_view prefix, std::vector<metadata> known)
    : prefix_(prefix), known_(std::move(known)), began_(otp::now()), exceptions_(std::uncaught_exceptions()) {
  otp::detail::runtime_core& core = otp::detail::require_runtime("telemetry.span");
  known_.push_back({"span", otp::detail::unsigned_text(core.new_reference())});
  const measurement at{"system_time", began_.time_since_epoch().count()};
  detail::execute({prefix_ + ".start", &at, 1, known_.data(), known_.size()});
}

open_span::~open_span() {
  const bool threw = !ended_ && std::uncaught_exceptions() > exceptions_;
  const measurement took{"duration", (otp::now() - began_).count()};
  try {
    if (threw) known_.push_back({"kind", "exception"});
    const std::string name = prefix_ + (threw ? ".exception" : ".stop");
    detail::execute({name, &took, 1, known_.data(), known_.size()});
  } catch (...) {
    // No memory to tell it.
  }
}

}  // namespace detail

std::vector<metric> runtime_metrics() {
  const runtime_counters c = counters();
  using enum metric_kind;
  return {
      {"otp_processes_spawned_total", "Processes started.", counter, c.spawned},
      {"otp_processes_exited_total", "Processes that have ended.", counter, c.exited},
      {"otp_processes_abandoned_total", "Processes given up because a kill did not end them.", counter, c.abandoned},
      {"otp_processes", "Processes alive.", gauge, c.processes},
      {"otp_messages_sent_total", "Messages and requests that somebody tried to send.", counter, c.sent},
      {"otp_messages_accepted_total", "Messages put into a mailbox.", counter, c.accepted},
      {"otp_messages_handled_total", "Messages given to a handler or a receive.", counter, c.handled},
      {"otp_messages_dead_total", "Messages to processes that were gone.", counter, c.dead},
      {"otp_messages_refused_total", "Messages refused by a full mailbox.", counter, c.refused},
      {"otp_messages_dropped_total", "Messages in the mailbox of a process that ended.", counter, c.dropped},
      {"otp_messages_unhandled_total", "Messages that a server had no handler for.", counter, c.unhandled},
      {"otp_requests_expired_total", "Requests skipped because their caller had given up.", counter, c.expired},
      {"otp_replies_late_total", "Replies that nobody waited for any more.", counter, c.late_replies},
      {"otp_reports_lost_total", "Reports that could not be written to stderr.", counter, c.reports_lost},
      {"otp_scheduler_steals_total", "Processes that a worker took from another.", counter, c.steals},
      {"otp_scheduler_parks_total", "Times a worker went to sleep.", counter, c.parks},
      {"otp_stacks_live", "Stacks in use or in the pool.", gauge, c.stacks_live},
      {"otp_stacks_idle", "Stacks in the pool.", gauge, c.stacks_idle},
      {"otp_timers", "Timers that are set.", gauge, c.timers},
  };
}

}  // namespace otp::telemetry
