// Calls: sending a request, waiting for its reply, giving up, and noticing a cycle of calls that cannot end.
//
// Rules of the edges (deadlock detection)
// 1. A process in a synchronous call publishes one edge: the callee's index and the number of the call, in one word,
//    before it sends the request, and clears it when the call ends.
// 2. Whoever answers or fails the request, or starts a handler that takes a `from`, clears the edge by CAS on that
//    word first: an edge counts only while the request is queued or handled by a handler without a `from`.
// 3. A caller publishes (seq_cst), then walks the edges from its callee (seq_cst): of the callers that close a cycle,
//    the last to publish sees all edges. It walks twice; equal words both times mean that all held at one instant.
// 4. A cycle in which somebody gives up clearly earlier than the new call (by a sixteenth of its time) is no deadlock.
#include "process/request_core.hpp"
#include "process/runtime_core.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>

namespace otp::detail {

send_status send_user(runtime_core& core, pid to, envelope* e);

struct foreign_waiter {
  std::mutex lock;
  std::condition_variable done;
  bool finished = false;
};

void drop_reference(request_envelope* r) {
  // The last holder need not count: nobody else could at the same time.
  if (r->references.load(std::memory_order_acquire) == 1 || r->references.fetch_sub(1, std::memory_order_acq_rel) == 1)
    r->free(r);
}

constinit const envelope_type reply_signal = {signal::reply, nullptr,
                                              [](envelope* e) { drop_reference(static_cast<request_envelope*>(e)); },
                                              [](const envelope*) -> const void* { return nullptr; }};

bool begin_reply(request_envelope& r) noexcept {
  request_state expected = request_state::pending;
  return r.progress.compare_exchange_strong(expected, request_state::writing);
}

namespace {

constexpr std::uint64_t edge_word(pid callee, std::uint64_t number) { return number << 24 | callee.index(); }

void send_back(request_envelope* r) noexcept {
  clear_edge(*r);
  if (foreign_waiter* f = r->foreign) {
    // The waiter lives on the stack of a thread that waits for `finished`; it may go as soon as the lock is released.
    std::lock_guard lock(f->lock);
    f->finished = true;
    f->done.notify_all();
  } else {
    r->type = &reply_signal;
    r->accounted = 0;
    if (deliver(*r->core, r->caller, r)) return;
    r->core->count(counter::late_replies);
  }
  try {
    drop_reference(r);
  } catch (...) {
    // A reply whose destructor throws has no process to blame here.
  }
}

}  // namespace

void finish_reply(request_envelope* r) noexcept {
  r->progress.store(request_state::replied, std::memory_order_release);  // read behind the inbox, or the waiter's lock
  send_back(r);
}

void finish_failed(request_envelope* r) noexcept {
  r->progress.store(request_state::failed);
  send_back(r);
}

void fail_request(request_envelope* r, const exit_reason& why) noexcept {
  if (begin_reply(*r)) {
    r->failure = why;
    finish_failed(r);
    return;
  }
  try {
    drop_reference(r);
  } catch (...) {
    // as in send_back
  }
}

void count_late_reply(request_envelope& r) noexcept { r.core->count(counter::late_replies); }

void from_dropped(request_envelope* r) noexcept {
  std::uint8_t before = r->from_flags.fetch_or(request_envelope::dropped);
  if (before & request_envelope::in_handler) {
    try {
      drop_reference(r);  // the server judges when its handler has returned
    } catch (...) {
      // as in send_back
    }
    return;
  }
  fail_request(r,
               exit_reason(exit_reason::kind::no_reply,
                           "the server dropped its `from` unanswered; call from.reply(value) or keep it until you do"));
}

void end_calls_to(runtime_core&, envelope* e, const exit_reason& why) noexcept {
  fail_request(static_cast<request_envelope*>(e), why);
}

void clear_edge(request_envelope& r) noexcept {
  if (r.number == 0 || r.asynchronous) return;
  process* c = r.core->table.find(r.caller);
  if (!c) return;
  std::uint64_t word = c->edge.load(std::memory_order_relaxed);  // the CAS decides
  if (word >> 24 == (r.number & ((std::uint64_t{1} << 40) - 1))) c->edge.compare_exchange_strong(word, 0);
}

exit_reason call_failure(exit_reason cause, const char* function, std::string server, std::string_view request,
                         duration timeout) {
  return exit_reason::of_call(
      std::move(cause),
      {.function = function, .server = std::move(server), .request = std::string(request), .timeout = timeout});
}

namespace {

struct hop {
  process* who;
  std::uint64_t word;
};

// The cycle that `me` would close, or nothing.
std::vector<hop> find_cycle(runtime_core& core, process& me, pid callee, nanos deadline, nanos slack) {
  constexpr std::size_t longest = 1000;
  std::uint32_t mine = me.self().index();
  auto gives_up_earlier = [&](const process& p) {
    nanos theirs = p.edge_deadline.load();
    return deadline == never ? theirs != never : theirs < deadline - slack;
  };
  std::vector<hop> path;
  process* at = core.table.find(callee);
  while (at && path.size() < longest) {
    std::uint64_t word = at->edge.load();
    if (word == 0 || gives_up_earlier(*at)) return {};
    path.push_back({at, word});
    std::uint32_t next = static_cast<std::uint32_t>(word & 0xffffff);
    if (next == mine) {
      for (const hop& h : path)
        if (h.who->edge.load() != h.word || gives_up_earlier(*h.who)) return {};
      return path;
    }
    at = core.table.at(next);
  }
  return {};
}

struct call_guard {
  process& p;
  request_envelope* r;
  ~call_guard() {
    // Whoever answered has cleared the edge and decided the request: nothing is left to do then.
    if (p.edge.load(std::memory_order_relaxed) != 0) p.edge.store(0);
    request_state expected = request_state::pending;
    if (r->progress.load(std::memory_order_relaxed) == request_state::pending)
      r->progress.compare_exchange_strong(expected, request_state::abandoned);
  }
};

}  // namespace

std::optional<exit_reason> call_and_wait(pid to, request_envelope* r, duration timeout) {
  auto [on, core, p] = require_running("call");
  auto fail = [&](exit_reason why) -> std::optional<exit_reason> {
    drop_reference(r);  // the callee never got it
    return why;
  };
  if (timeout.count() < 0) {
    drop_reference(r);
    throw bad_argument("call: the timeout is " + integer_text(timeout.count()) +
                       " ns; give 0, a positive duration or otp::infinity");
  }
  if (p.dying) [[unlikely]] {
    try {
      check_fate(p);
    } catch (...) {
      drop_reference(r);
      throw;
    }
  }
  if (to == p.self()) return fail(reason::calling_self);
  nanos start = core.sched.coarse_now() + scheduler::coarse_step;
  if (core.sched.seeded()) start = core.sched.now();
  nanos deadline = timeout == infinity || timeout.count() > never - start ? never : start + timeout.count();
  r->core = &core;
  r->caller = p.self();
  r->number = ++p.calls;
  r->deadline = deadline;
  p.edge_deadline.store(deadline, std::memory_order_relaxed);  // read after `edge`, whose store publishes it
  p.edge.store(edge_word(to, r->number));
  call_guard guard{p, r};
  send_status status;
  try {
    status = send_user(core, to, r);  // takes the callee's reference
  } catch (...) {
    drop_reference(r);
    throw;
  }
  if (status == send_status::no_process) return reason::noproc;
  if (status == send_status::refused)
    return exit_reason(exit_reason::kind::system_limit, "the server's mailbox is full (policy reject)");
  nanos slack = deadline == never ? 0 : timeout.count() / 16;
  if (auto cycle = find_cycle(core, p, to, deadline, slack); !cycle.empty()) {
    request_state expected = request_state::pending;
    if (r->progress.compare_exchange_strong(expected, request_state::abandoned)) {
      std::string text = core.describe(p.self());
      for (const hop& h : cycle) text += " calls " + core.describe(h.who->self());
      text += " calls " + core.describe(p.self());
      return exit_reason(exit_reason::kind::deadlock, std::move(text));
    }
  }
  wait_state w;
  w.reply = r;
  w.deadline = deadline;
  w.fresh = true;  // by the margin of the coarse clock
  wait(p, w);
  if (!w.found) return reason::timeout;
  // The reference that came back with the reply; the caller's own keeps the request alive.
  if (r->references.load(std::memory_order_acquire) == 2)
    r->references.store(1, std::memory_order_relaxed);  // nobody else has one, so nobody counts at the same time
  else
    r->references.fetch_sub(1, std::memory_order_acq_rel);
  if (r->progress.load(std::memory_order_relaxed) == request_state::failed) return r->failure;
  return std::nullopt;
}

std::optional<exit_reason> call_from_outside(runtime_core& core, pid to, request_envelope* r, duration timeout) {
  foreign_waiter waiter;
  r->core = &core;
  r->foreign = &waiter;
  nanos start = core.sched.now();
  nanos deadline = timeout == infinity || timeout.count() > never - start ? never : start + timeout.count();
  r->deadline = deadline;
  switch (send_user(core, to, r)) {
    case send_status::no_process: return reason::noproc;
    case send_status::refused:
      return exit_reason(exit_reason::kind::system_limit, "the server's mailbox is full (policy reject)");
    case send_status::sent: break;
  }
  std::unique_lock lock(waiter.lock);
  auto done = [&] { return waiter.finished; };
  if (deadline == never)
    waiter.done.wait(lock, done);
  else if (!waiter.done.wait_for(lock, timeout, done)) {
    request_state expected = request_state::pending;
    if (r->progress.compare_exchange_strong(expected, request_state::abandoned)) return reason::timeout;
    waiter.done.wait(lock, done);  // the answer is being written
  }
  if (r->progress.load() == request_state::failed) return r->failure;
  return std::nullopt;
}

void send_request(pid to, request_envelope* r) {
  process& p = require_process("send_request");
  runtime_core& core = *runtime_core::current();
  r->core = &core;
  r->caller = p.self();
  r->asynchronous = true;
  // Kept alive by an extra reference: a refused or dead receiver is told to the caller as the response.
  r->references.fetch_add(1);
  send_status status;
  try {
    status = send_user(core, to, r);
  } catch (...) {
    drop_reference(r);
    throw;
  }
  if (status == send_status::sent) {
    drop_reference(r);
    return;
  }
  exit_reason why = reason::noproc;
  if (status == send_status::refused)
    why = exit_reason(exit_reason::kind::system_limit, "the server's mailbox is full (policy reject)");
  fail_request(r, why);
}

std::size_t wait_any_response(const std::vector<request_envelope*>& requests, instant until) {
  process& p = require_process("receive_response");
  runtime_core& core = *runtime_core::current();
  auto place_of = [&](const envelope* e) {
    return static_cast<std::size_t>(std::find(requests.begin(), requests.end(), e) - requests.begin());
  };
  auto take = [&]() -> std::size_t {
    runtime_section section(p);
    intake(core, p);
    envelope* before = nullptr;
    for (envelope* e = p.first; e; before = e, e = e->next) {
      if (e->type->kind != signal::reply) continue;
      std::size_t at = place_of(e);
      if (at == requests.size()) continue;
      unlink_from_queue(core, p, before, e);
      return at;
    }
    return requests.size();
  };
  check_fate(p);
  for (;;) {
    if (std::size_t at = take(); at != requests.size()) {
      drop_reference(requests[at]);  // the one that came with the reply
      return at;
    }
    if (until.time_since_epoch().count() <= core.sched.now()) return requests.size();
    struct any_wait : wait_state {
      const std::vector<request_envelope*>* requests;
    } w;
    w.requests = &requests;
    w.deadline = until.time_since_epoch().count();
    w.wants = [](wait_state& self, envelope& e) {
      auto& all = *static_cast<any_wait&>(self).requests;
      return e.type->kind == signal::reply && std::find(all.begin(), all.end(), &e) != all.end();
    };
    wait(p, w);
  }
}

response_state wait_response(request_envelope* r, instant until) {
  return wait_any_response({r}, until) == 0 ? response_state::ready : response_state::timeout;
}

void abandon_request(request_envelope* r) noexcept {
  // If the reply is in the mailbox already it is taken out: nobody can ask for it any more.
  request_state expected = request_state::pending;
  process* p = current_process();
  if (!r->progress.compare_exchange_strong(expected, request_state::abandoned) && p && r->core &&
      p->self() == r->caller) {
    runtime_core& core = *r->core;
    runtime_section section(*p);
    intake(core, *p);
    envelope* before = nullptr;
    for (envelope* e = p->first; e; before = e, e = e->next)
      if (e == r) {
        unlink_from_queue(core, *p, before, e);
        drop_answered(r);
        break;
      }
  }
  drop_answered(r);
}

void drop_answered(request_envelope* r) noexcept {
  try {
    drop_reference(r);
  } catch (...) {
    // A request or reply whose destructor throws has nobody to blame here.
  }
}

void check_may_reply() {
  if (process* p = current_process()) check_abandoned(*p);
}

void require_valid_timeout(duration timeout) {
  if (timeout.count() < 0)
    throw bad_argument("call: the timeout is " + integer_text(timeout.count()) +
                       " ns; give 0, a positive duration or otp::infinity");
}

void require_request(const request_envelope* r) {
  if (!r) throw bad_argument("wait_response: there is no request; it was answered or given up already");
}

instant deadline_after(duration timeout) {
  require_valid_timeout(timeout);
  nanos now = require_runtime("wait_response").sched.now();
  return instant(duration(timeout.count() > never - now ? never : now + timeout.count()));
}

std::vector<std::string> each_once(std::vector<std::string> nodes) {
  std::vector<std::string> once;
  for (std::string& node : nodes)
    if (std::find(once.begin(), once.end(), node) == once.end()) once.push_back(std::move(node));
  return once;
}

}  // namespace otp::detail
