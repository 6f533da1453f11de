// Calls: sending a request, waiting for its reply, giving up, and noticing a cycle of calls that cannot end.
//
// Rules of the edges (deadlock detection)
// 1. A process in a synchronous call publishes one edge: the callee's index and the number of the call, in one word,
//    before it sends the request, and clears it when the call ends.
// 2. Whoever answers or fails the request, or starts a handler that takes a `from`, clears the edge first: by CAS on
//    that word, or by a store after it has woken the caller out of that call (hand_reply). So an edge counts only while
//    the request is queued or handled by a handler without a `from`.
// 3. A caller publishes, sends (whose exchange and barrier_after_exchange() order the two), then walks the edges from
//    its callee (seq_cst): of the callers that close a cycle, the last to publish sees all edges. It walks twice; equal
//    words both times mean that all held at one instant. One whose request is being handled already was not the last,
//    and leaves the cycle to who was.
// 4. Of several that see the same cycle one fails: the verdict is reached under `verdict_lock`, after another look, and
//    takes the edge of the one that fails out of the graph.
// 5. A cycle in which somebody gives up clearly earlier than the new call (by a sixteenth of its time) is no deadlock.
#include "process/request_core.hpp"
#include "process/wait.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>

namespace otp::detail {

struct foreign_waiter {
  std::mutex lock;
  std::condition_variable done;
  bool finished = false;  // guarded by lock
  bool given_up = false;  // the same
};

void free_waiter(foreign_waiter* w) noexcept { delete w; }

void drop_reference(request_envelope* r) {
  // The last holder need not count: nobody else could at the same time.
  if (r->references.load(std::memory_order_acquire) == 1 || r->references.fetch_sub(1, std::memory_order_acq_rel) == 1)
    r->free(r);
}

void drop_answered(request_envelope* r) noexcept {
  try {
    drop_reference(r);
  } catch (...) {
    // A request or reply whose destructor throws has nobody to blame here.
  }
}

constinit const envelope_type reply_signal = {signal::reply, nullptr,
                                              [](envelope* e) { drop_reference(static_cast<request_envelope*>(e)); },
                                              [](const envelope*) -> const void* { return nullptr; }};

// ---- answers -----------------------------------------------------------------------------------------------------

bool begin_reply(request_envelope& r) noexcept {
  request_state expected = request_state::pending;
  return r.progress.compare_exchange_strong(expected, request_state::writing);
}

namespace {

constexpr std::uint64_t number_mask = (std::uint64_t{1} << 40) - 1;
constexpr std::uint64_t edge_word(pid callee, std::uint64_t number) { return number << 24 | callee.index(); }

exit_reason mailbox_full(const char* policy) {
  return exit_reason(exit_reason::kind::system_limit,
                     std::string("the server's mailbox is full (policy ") + policy + ")");
}

// The reference that nobody has taken, if so.
request_envelope* send_back(request_envelope* r) noexcept {
  worker* w = scheduler::current();
  if (!r->asynchronous && !r->foreign && w && &w->owner == &r->core->sched) [[likely]] {
    process* c = r->core->table.find(r->caller);
    if (c && hand_reply(*r->core, *w, *c, *r)) return nullptr;
  }
  clear_edge(*r);
  if (foreign_waiter* f = r->foreign) {
    std::lock_guard lock(f->lock);
    f->finished = true;
    f->done.notify_all();
    if (f->given_up && holds_reply(*r)) count_late_reply(*r);
    return r;
  }
  r->type = &reply_signal;
  r->accounted = 0;
  if (deliver(*r->core, r->caller, r)) return nullptr;
  if (holds_reply(*r)) r->core->count(counter::late_replies);
  return r;
}

}  // namespace

request_envelope* try_finish(request_envelope* r, request_state from) noexcept {
  request_state expected = from;
  // Release: the reply is read behind the inbox, or behind the waiter's lock.
  if (r->progress.compare_exchange_strong(expected, request_state::replied, std::memory_order_release,
                                          std::memory_order_relaxed))
    return send_back(r);
  count_late_reply(*r);  // the server's end decided it meanwhile
  return r;
}

void finish_handled(request_envelope* r, bool begun) noexcept {
  worker& w = *scheduler::current();
  auto& p = static_cast<process&>(*w.running);
  if (r->core->explorer) [[unlikely]]
    at_point(w, "reply");
  if (r->traced) [[unlikely]]
    p.body->replying(*r);
  request_envelope* left = nullptr;
  {
    // In one section: in between, an abandonment would not know of the request.
    runtime_section section(p);
    p.handling = nullptr;
    // Its caller waits for it, suspended on this worker, nobody has a `from`, and who would abandon the server is kept
    // out: so nobody else decides the request meanwhile.
    if (!begun && w.deferred && static_cast<process&>(*w.deferred).waiting->reply == r &&
        r->progress.load(std::memory_order_relaxed) == request_state::pending) [[likely]] {
      r->progress.store(request_state::replied, std::memory_order_release);
      left = send_back(r);
    } else {
      left = try_finish(r, begun ? request_state::writing : request_state::pending);
    }
  }
  if (left) [[unlikely]]
    drop_answered(left);
}

request_envelope* try_fail(request_envelope* r, const exit_reason& why) noexcept {
  for (request_state from : {request_state::pending, request_state::writing, request_state::pending}) {
    request_state expected = from;
    if (!r->progress.compare_exchange_strong(expected, request_state::failing)) continue;
    r->failure = why;
    r->progress.store(request_state::failed, std::memory_order_release);  // as above
    return send_back(r);
  }
  return r;
}

void finish_reply(request_envelope* r) noexcept {
  if (worker* w = r->core->explorer ? scheduler::current() : nullptr) [[unlikely]]
    at_point(*w, "reply");
  if (request_envelope* left = try_finish(r)) drop_answered(left);
}

void fail_request(request_envelope* r, const exit_reason& why) noexcept {
  if (request_envelope* left = try_fail(r, why)) drop_answered(left);
}

void undo_reply(request_envelope& r) noexcept {
  request_state expected = request_state::writing;
  r.progress.compare_exchange_strong(expected, request_state::pending);
}

exit_reason unanswered() {
  return exit_reason(exit_reason::kind::no_reply,
                     "the server dropped its `from` unanswered; call from.reply(value) or keep it until you do");
}

void from_dropped(request_envelope* r) noexcept {
  std::uint8_t before = r->from_flags.fetch_or(request_envelope::dropped);
  // While the handler runs its result may still be an answer: then the server judges, when it has applied the result.
  if ((before & request_envelope::in_handler) || r->progress.load() != request_state::pending) return drop_answered(r);
  fail_request(r, unanswered());
}

void end_calls_to(runtime_core&, envelope* e, const exit_reason& why) noexcept {
  fail_request(static_cast<request_envelope*>(e), why);
}

// ---- late replies ------------------------------------------------------------------------------------------------

namespace {

// The runtimes that have servers. A `from` may outlive its runtime on a thread of the user's: what it does then must
// not reach for the runtime. Its request is decided by then, so counting is all that it could do.
struct live_runtime final : kept {
  explicit live_runtime(runtime_core& c) : core(c) {
    std::lock_guard lock(all_lock);
    next = first;
    first = this;
  }
  ~live_runtime() override {
    std::lock_guard lock(all_lock);
    live_runtime** at = &first;
    while (*at != this) at = &(*at)->next;
    *at = next;
  }
  runtime_core& core;
  live_runtime* next;  // guarded by all_lock

  static std::mutex all_lock;
  static live_runtime* first;  // guarded by all_lock
};
constinit std::mutex live_runtime::all_lock;
constinit live_runtime* live_runtime::first = nullptr;

}  // namespace

void note_runtime() {
  static const char key = 0;
  keep_with_runtime(require_runtime("start"), &key,
                    [](runtime_core& core) -> std::unique_ptr<kept> { return std::make_unique<live_runtime>(core); });
}

void count_late_reply(request_envelope& r) noexcept {
  if (runtime_core::current() == r.core) return r.core->count(counter::late_replies);
  std::lock_guard lock(live_runtime::all_lock);
  for (live_runtime* l = live_runtime::first; l; l = l->next)
    if (&l->core == r.core) return r.core->count(counter::late_replies);
}

void check_may_reply() {
  if (process* p = current_process()) check_abandoned(*p);
}

// ---- edges -------------------------------------------------------------------------------------------------------

void clear_edge(request_envelope& r) noexcept {
  if (r.number == 0 || r.asynchronous) return;
  process* c = r.core->table.find(r.caller);
  if (!c) return;
  std::uint64_t word = c->edge.load(std::memory_order_relaxed);  // the CAS decides
  if (word >> 24 == (r.number & number_mask)) c->edge.compare_exchange_strong(word, 0);
}

namespace {

struct hop {
  process* who;
  std::uint64_t word;
};

// What `me` walks: the cycle that its call would close.
class cycle {
 public:
  cycle(runtime_core& core, process& me, pid callee, nanos deadline, nanos slack)
      : core_(core), me_(me), callee_(callee), deadline_(deadline), slack_(slack), mine_(me.edge.load()) {}

  bool find() {
    constexpr std::size_t longest = 1000;
    path_.clear();
    process* at = core_.table.find(callee_);
    while (at && path_.size() < longest) {
      std::uint64_t word = at->edge.load();
      if (word == 0 || gives_up_earlier(*at)) return false;
      path_.push_back({at, word});
      std::uint32_t next = static_cast<std::uint32_t>(word & 0xffffff);
      if (next == me_.self().index()) return holds();
      at = core_.table.at(next);
    }
    return false;
  }
  bool holds() const {
    if (mine_ == 0 || me_.edge.load() != mine_) return false;
    return std::all_of(path_.begin(), path_.end(), [](const hop& h) { return h.who->edge.load() == h.word; });
  }
  std::string text() const {
    std::string all = core_.describe(me_.self());
    for (const hop& h : path_) all += " calls " + core_.describe(h.who->self());
    return all + " calls " + core_.describe(me_.self());
  }

 private:
  // Stable: read between two equal looks at the edge whose call it belongs to.
  bool gives_up_earlier(const process& p) const {
    nanos theirs = p.edge_deadline.load(std::memory_order_relaxed);
    return deadline_ == never ? theirs != never : theirs < deadline_ - slack_;
  }
  runtime_core& core_;
  process& me_;
  pid callee_;
  nanos deadline_;
  nanos slack_;
  std::uint64_t mine_;
  std::vector<hop> path_;
};

constinit std::mutex verdict_lock;

// Rules 3 to 5: the reason of a call that cannot end, and the call is over then.
[[gnu::noinline]] std::optional<exit_reason> deadlocked(runtime_core& core, process& p, pid to, request_envelope* r,
                                                        duration timeout) {
  cycle closed(core, p, to, r->deadline, r->deadline == never ? 0 : timeout.count() / 16);
  if (!closed.find() || r->begun.load()) return std::nullopt;
  std::string text = closed.text();
  std::lock_guard lock(verdict_lock);
  if (!closed.holds()) return std::nullopt;
  request_state expected = request_state::pending;
  if (!r->progress.compare_exchange_strong(expected, request_state::abandoned)) return std::nullopt;
  p.edge.store(0);
  return exit_reason(exit_reason::kind::deadlock, std::move(text));
}

// The end of a call, however it comes.
struct call_guard {
  worker& on;
  process& p;
  request_envelope* r;
  ~call_guard() {
    if (on.handed) [[unlikely]]
      on.owner.take_back_handed(on);
    // Whoever answered has cleared the edge and decided the request: nothing is left to do then.
    if (p.edge.load(std::memory_order_relaxed) != 0) p.edge.store(0);
    request_state expected = request_state::pending;
    if (r->progress.load(std::memory_order_relaxed) == request_state::pending)
      r->progress.compare_exchange_strong(expected, request_state::abandoned);
  }
};

// Nobody else has it, and it is unanswered and was not skipped: a mailbox has dropped it.
bool lost(const request_envelope& r) noexcept {
  return r.references.load(std::memory_order_acquire) == 1 &&
         r.progress.load(std::memory_order_relaxed) == request_state::pending;
}

// System requests are signals: a full mailbox does not refuse them.
send_status send_past_limits(runtime_core& core, pid to, request_envelope* r) {
  if (deliver(core, to, r)) return send_status::sent;
  drop_answered(r);
  return send_status::no_process;
}

nanos deadline_from(nanos start, duration timeout) noexcept {
  return timeout == infinity || timeout.count() > never - start ? never : start + timeout.count();
}

// A reference that is dropped unless it was handed on.
struct unsent {
  request_envelope* r;
  ~unsent() {
    if (r) drop_answered(r);
  }
};

}  // namespace

// ---- calls -------------------------------------------------------------------------------------------------------

exit_reason call_failure(exit_reason cause, const char* function, std::string server, std::string_view request,
                         duration timeout) {
  return exit_reason::of_call(
      std::move(cause),
      {.function = function, .server = std::move(server), .request = std::string(request), .timeout = timeout});
}

std::optional<exit_reason> call_and_wait(pid to, request_envelope* r, duration timeout) {
  unsent callee{r};
  auto [on, core, p] = require_running("call");
  require_valid_timeout(timeout);
  if (p.dying) [[unlikely]]
    check_fate(p);
  if (to == p.self()) return exit_reason(reason::calling_self);
  nanos start = core.sched.timeout_begin(timeout.count(), on);
  r->core = &core;
  r->caller = p.self();
  r->number = ++p.calls;
  r->deadline = deadline_from(start, timeout);
  p.edge_deadline.store(r->deadline, std::memory_order_relaxed);  // read after `edge`, whose store publishes it
  p.edge.store(edge_word(to, r->number), std::memory_order_release);
  call_guard guard{on, p, r};
  callee.r = nullptr;  // taken by send_user, also when it refuses or throws
  send_status status = r->type->kind == signal::system ? send_past_limits(core, to, r) : send_call(on, to, r);
  if (status == send_status::no_process) return exit_reason(reason::noproc);
  if (status == send_status::refused) return mailbox_full("reject");
  if (lost(*r)) return mailbox_full("drop");
  barrier_after_exchange();  // rule 3: the edge is published before others are looked at
  if (process* server = core.table.find(to); server && server->edge.load() != 0) [[unlikely]]
    if (auto why = deadlocked(core, p, to, r, timeout)) return why;
  wait_state w;
  w.reply = r;
  w.deadline = r->deadline;
  w.fresh = !core.sched.seeded();  // by the margin of the coarse clock
  w.interruptible = !unwinding(on.current->ctx);
  wait_inline(on, p, w);
  if (!w.found) return exit_reason(reason::timeout);
  // The reference that came back with the reply; the caller's own keeps the request alive.
  if (r->references.load(std::memory_order_acquire) == 2)
    r->references.store(1, std::memory_order_relaxed);  // nobody else has one, so nobody counts at the same time
  else
    r->references.fetch_sub(1, std::memory_order_acq_rel);
  if (r->progress.load(std::memory_order_relaxed) == request_state::failed) return r->failure;
  return std::nullopt;
}

std::optional<exit_reason> call_from_outside(runtime_core& core, pid to, request_envelope* r, duration timeout) {
  if (runtime_core* here = runtime_core::current()) {
    if (here == &core) return call_and_wait(to, r, timeout);
    drop_answered(r);
    throw bad_argument(
        "runtime.call: this thread is a worker of another runtime, which the call would block; call it inside "
        "otp::blocking");
  }
  unsent callee{r};
  require_valid_timeout(timeout);
  auto* waiter = new foreign_waiter;
  r->foreign = waiter;
  r->core = &core;
  r->deadline = deadline_from(core.sched.now(), timeout);
  callee.r = nullptr;
  switch (send_user(core, to, r)) {
    case send_status::no_process: return exit_reason(reason::noproc);
    case send_status::refused: return mailbox_full("reject");
    case send_status::sent: break;
  }
  if (lost(*r)) return mailbox_full("drop");
  {
    std::unique_lock lock(waiter->lock);
    auto finished = [&] { return waiter->finished; };
    if (r->deadline == never)
      waiter->done.wait(lock, finished);
    else if (!waiter->done.wait_for(lock, timeout, finished)) {
      // A reply that is being written is late too: its writer may be stuck.
      request_state expected = request_state::pending;
      r->progress.compare_exchange_strong(expected, request_state::abandoned);
      waiter->given_up = true;
      return exit_reason(reason::timeout);
    }
  }
  if (r->progress.load(std::memory_order_acquire) == request_state::failed) return r->failure;
  return std::nullopt;
}

// ---- asynchronous requests ---------------------------------------------------------------------------------------

void send_request(pid to, request_envelope* r) {
  unsent callee{r};
  auto [on, core, p] = require_running("send_request");
  r->core = &core;
  r->caller = p.self();
  r->asynchronous = true;
  // Another reference for the way back: a refusal is told to the caller as the response.
  r->references.fetch_add(1);
  unsent answer{r};
  callee.r = nullptr;
  send_status status = send_user(core, to, r);
  if (status == send_status::sent && r->references.load() > 2) return;  // not dropped
  answer.r = nullptr;
  fail_request(r, status == send_status::no_process ? exit_reason(reason::noproc)
                                                    : mailbox_full(status == send_status::sent ? "drop" : "reject"));
}

std::size_t wait_any_response(const std::vector<request_envelope*>& requests, instant until) {
  auto [on, core, p] = require_running("receive_response");
  for (const request_envelope* r : requests)
    if (r->caller != p.self())
      throw bad_argument("wait_response: the request was sent by " + r->caller.to_string() +
                         ", and its response goes there; wait in that process");
  const std::size_t none = requests.size();
  auto take = [&]() -> std::size_t {
    runtime_section section(p);
    intake(core, p);
    envelope* before = nullptr;
    for (envelope* e = p.first; e; before = e, e = e->next) {
      if (e->type->kind != signal::reply) continue;
      auto at = std::find(requests.begin(), requests.end(), e);
      if (at == requests.end()) continue;
      unlink_from_queue(core, p, before, e);
      drop_answered(static_cast<request_envelope*>(e));  // the reference that came with the reply
      return static_cast<std::size_t>(at - requests.begin());
    }
    // One whose response was received and not looked at is still answered.
    auto at = std::find_if(requests.begin(), requests.end(), [](request_envelope* r) {
      return r->references.load(std::memory_order_acquire) == 1 && r->progress.load() != request_state::pending;
    });
    return static_cast<std::size_t>(at - requests.begin());
  };
  check_fate(p);
  for (;;) {
    if (std::size_t at = take(); at != none) return at;
    if (until.time_since_epoch().count() <= core.sched.now()) return none;
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
      runtime_core::current() == r->core && p->self() == r->caller) {
    runtime_core& core = *r->core;
    runtime_section section(*p);
    r->let_go = true;  // one that is still on its way is dropped when it arrives
    intake(core, *p);
    envelope* before = nullptr;
    for (envelope* e = p->first; e; before = e, e = e->next)
      if (e == r) {
        unlink_from_queue(core, *p, before, e);
        if (holds_reply(*r)) core.count(counter::late_replies);
        drop_answered(r);
        break;
      }
  }
  drop_answered(r);
}

// ---- checks ------------------------------------------------------------------------------------------------------

void refuse_timeout(duration timeout) {
  throw bad_argument("the timeout is " + integer_text(timeout.count()) +
                     " ns; give 0, a positive duration or otp::infinity");
}

void require_request(const request_envelope* r) {
  if (!r) throw bad_argument("wait_response: there is no request; it was answered or given up already");
}

void require_caller(const char* what) { require_running(what); }

instant deadline_after(duration timeout) {
  require_valid_timeout(timeout);
  return instant(duration(deadline_from(require_runtime("wait_response").sched.now(), timeout)));
}

std::optional<pid> whereis_in(runtime_core& core, std::string_view name) { return core.whereis(name); }

std::vector<std::string> each_once(std::vector<std::string> nodes) {
  std::vector<std::string> once;
  for (std::string& node : nodes)
    if (std::find(once.begin(), once.end(), node) == once.end()) once.push_back(std::move(node));
  return once;
}

}  // namespace otp::detail
