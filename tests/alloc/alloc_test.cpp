// F06: every allocation of every public operation fails once. A program of its own, because it replaces operator new.
//
// An operation is run again and again in a seeded runtime, each time with the next one of its allocations failing,
// until none is left to fail. Each time: the caller gets an exception or an error and everything is as before, or the
// operation succeeded without that memory and its effect is there; nobody hangs (the engine would say so); and when the
// runtime is gone every byte is back.
#include "faults/support.hpp"

#include "figure_line.hpp"

#include "process/control.hpp"

#include <otp/blocking.hpp>
#include <otp/dynamic_supervisor.hpp>
#include <otp/gen_server.hpp>
#include <otp/supervisor.hpp>

#include <pthread.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <sstream>

namespace {

std::atomic<long> live_blocks{0};  // of operator new
// Counts the allocations of one thread down; the one that reaches 0 fails.
std::atomic<bool> armed{false};
pthread_t armed_thread;
long left = 0;
bool failed = false;

void* take(std::size_t bytes, std::size_t alignment) {
  if (armed.load(std::memory_order_relaxed) && pthread_equal(armed_thread, pthread_self()) && --left == 0) {
    failed = true;
    throw std::bad_alloc();
  }
  void* memory = alignment ? std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment)
                           : std::malloc(bytes ? bytes : 1);
  if (!memory) throw std::bad_alloc();
  live_blocks.fetch_add(1, std::memory_order_relaxed);
  return memory;
}
void give(void* memory) noexcept {
  if (memory) live_blocks.fetch_sub(1, std::memory_order_relaxed);
  std::free(memory);
}

}  // namespace

void* operator new(std::size_t bytes) { return take(bytes, 0); }
void* operator new[](std::size_t bytes) { return take(bytes, 0); }
void* operator new(std::size_t bytes, std::align_val_t a) { return take(bytes, static_cast<std::size_t>(a)); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept try {
  return take(bytes, 0);
} catch (const std::bad_alloc&) {
  return nullptr;
}
void* operator new[](std::size_t bytes, const std::nothrow_t& t) noexcept { return operator new(bytes, t); }
void operator delete(void* memory) noexcept { give(memory); }
void operator delete[](void* memory) noexcept { give(memory); }
void operator delete(void* memory, std::size_t) noexcept { give(memory); }
void operator delete[](void* memory, std::size_t) noexcept { give(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { give(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { give(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { give(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { give(memory); }

using namespace faults;
using otp::exit_reason;
using otp::pid;

namespace {

struct go {};
struct tick {
  std::string text = "a text that is too long to be kept inside of a string";
};
struct ask {
  using reply = std::string;
  std::string text;
};
struct later {
  using reply = int;
};
struct server {
  std::string handle_call(const ask& a) { return a.text + a.text; }
  otp::call_result<int> handle_call(const later&, otp::from<int> f) {
    from = std::move(f);
    return otp::noreply().then_continue(go{});
  }
  otp::handler_result handle_continue(const go&) {
    from->reply(5);
    from.reset();
    return otp::noreply();
  }
  void handle_cast(const tick& t) { seen += t.text.size(); }
  using messages = otp::messages<tick>;
  void handle_info(const tick& t) { seen += t.text.size(); }
  std::optional<otp::from<int>> from;
  std::size_t seen = 0;
};

class deaf final : public otp::event_listener {
 public:
  void on_event(const otp::event&) override {}
};
deaf nobody;

// What the caller and the runtime have, as text.
std::string world() {
  std::ostringstream text;
  auto c = otp::counters();
  text << "processes " << c.processes << ", timers " << c.timers << ", names";
  auto names = otp::registered();
  std::sort(names.begin(), names.end());
  for (auto& n : names) text << " " << n;
  auto me = otp::info(otp::self());
  text << ", links " << me->links.size() << ", monitors " << me->monitors.size() << ", watched by "
       << me->monitored_by.size() << ", queue " << me->message_queue_len << ", label " << me->label << ", dictionary "
       << me->dictionary.size() << ", trap_exit " << me->trap_exit << ", name " << me->name;
  return text.str();
}

// What the runtimes of the program keep for signals that must not fail is full again.
long blocks_in_use() {
  otp::detail::fill_signal_reserve();
  return live_blocks;
}

class attempt {
 public:
  explicit attempt(long k) : k_(k) {}

  /// Runs `f`, in which the k-th allocation of the thread fails. False: it threw, and all is as before.
  template <class F>
  bool operator()(F&& f) {
    std::string before = world();
    bool done = loosely(std::forward<F>(f));
    if (!done) {
      otp::testing::settle();
      EXPECT_EQ(world(), before);
    }
    return done;
  }
  /// The same for what others take part in: the failure may hit one of them, who ends of it.
  template <class F>
  bool loosely(F&& f) {
    bool done = false;
    armed_thread = pthread_self();
    left = k_;
    failed = false;
    armed = true;
    try {
      f();
      armed = false;
      done = true;
    } catch (const std::bad_alloc&) {
      armed = false;
    } catch (const otp::exited& e) {
      armed = false;
      otp::exit_reason cause = e.reason().cause();
      EXPECT_TRUE(cause == otp::reason::system_limit || is_no_memory(cause)) << e.what();
    }
    armed = false;
    did_fail = failed;
    EXPECT_TRUE(done || failed) << "it threw though there was memory";
    return done;
  }
  static bool is_no_memory(const otp::exit_reason& why) {
    return why == otp::reason::system_limit || why.cause() == otp::reason::system_limit ||
           why.cause().error_type() == "std::bad_alloc";
  }

  bool did_fail = false;

 private:
  const long k_;
};

long points = 0;

void each_allocation(const char* name, const std::function<void(attempt&)>& body,
                     const std::function<void(otp::runtime_options&)>& how = {}) {
  SCOPED_TRACE(name);
  otp::testing::options o;
  o.runtime.listener = &nobody;
  if (how) how(o.runtime);
  auto once = [&](long k) {
    attempt a(k);
    otp::testing::run(o, [&] { body(a); });
    return a.did_fail;
  };
  for (o.seed = 1; o.seed <= 5 && !::testing::Test::HasFailure(); ++o.seed) {
    for (int i = 0; i < 2; ++i) once(0);  // what is made once a program
    for (long k = 1;; ++k) {
      SCOPED_TRACE("seed " + std::to_string(o.seed) + ", allocation " + std::to_string(k));
      long before = blocks_in_use();
      bool more = false;
      try {
        more = once(k);
      } catch (const std::exception& e) {
        armed = false;
        ADD_FAILURE() << e.what();
      }
      EXPECT_EQ(blocks_in_use(), before) << "memory was lost";
      if (::testing::Test::HasFailure() || !more) break;
      ++points;
      ASSERT_LT(k, 10'000);
    }
  }
}

pid resting() {
  return otp::spawn([] { otp::receive([](const go&) {}); });
}
otp::child_spec child(const std::string& id) {
  return otp::child_function(id, [] { return otp::gen_server::start_link<server>({}); });
}

}  // namespace

// covers: F06
TEST(no_memory, for_spawn) {
  each_allocation("spawn", [](attempt& a) {
    pid made;
    if (a([&] { made = otp::spawn([text = tick()] { otp::receive([](const go&) {}); }); })) {
      EXPECT_TRUE(otp::is_alive(made));
    }
  });
  each_allocation("spawn_link", [](attempt& a) {
    pid made;
    if (a([&] { made = otp::spawn_link([] { otp::receive([](const go&) {}); }); })) {
      EXPECT_EQ(otp::info(otp::self())->links, std::vector{made});
    }
  });
  each_allocation("a second link", [](attempt& a) {
    otp::spawn_link([] { otp::receive([](const go&) {}); });
    a([&] { otp::spawn_link([] { otp::receive([](const go&) {}); }); });
  });
  each_allocation("spawn_monitor", [](attempt& a) {
    otp::spawned made;
    if (!a([&] { made = otp::spawn_monitor([] { otp::receive([](const go&) {}); }); })) return;
    otp::send(made.pid, go{});
    EXPECT_EQ(reason_of(made.monitor), otp::reason::normal);
  });
  each_allocation("everything", [](attempt& a) {
    otp::spawn_link([] { otp::receive([](const go&) {}); });
    otp::set_group_leader(resting(), otp::self());
    otp::spawn_options how;
    how.link = how.monitor = true;
    how.monitoring.alias = otp::alias_mode::reply;
    how.stack_size = 64 * 1024;
    how.mailbox = {.max_messages = 5};
    how.memory_limit = 1 << 20;
    how.label = "a label that is too long to be kept inside of a string";
    otp::spawned made;
    if (!a([&] { made = otp::spawn(how, [] { otp::receive([](const go&) {}); }); })) return;
    EXPECT_EQ(otp::label(made.pid), how.label);
    otp::send(made.pid, go{});
    EXPECT_EQ(reason_of(made.monitor), otp::reason::normal);
  });
}

// covers: F06
TEST(no_memory, for_a_new_process_itself) {
  // Its first steps have no memory: it ends, and whoever watches it is told.
  each_allocation("first steps", [](attempt& a) {
    otp::spawned made;
    exit_reason why;
    a.loosely([&] {
      made = otp::spawn_monitor([] {
        tick t;
        otp::put(std::string("key"), t.text);
        otp::set_label(t.text);
        otp::send_after(1ms, otp::self(), t);
        otp::receive([](const tick&) {});
      });
      why = reason_of(made.monitor);
    });
    if (made.monitor) {
      otp::testing::settle();
      EXPECT_TRUE(!otp::is_alive(made.pid));
      EXPECT_TRUE(why.is_normal() || a.did_fail) << why.to_string();
    }
  });
}

// covers: F06
TEST(no_memory, for_messages) {
  each_allocation("send", [](attempt& a) {
    if (a([&] { otp::send(otp::self(), tick{}); }))
      otp::receive([](const tick&) {});
    else
      otp::receive([](const tick&) { ADD_FAILURE(); }, otp::after(0s, [] {}));
  });
  each_allocation("send to a name", [](attempt& a) {
    otp::register_name("a name", otp::self());
    if (a([&] { otp::send("a name", tick{}); })) otp::receive([](const tick&) {});
  });
  each_allocation("send to a bounded mailbox", [](attempt& a) {
    otp::spawn_options how;
    how.mailbox = {.max_messages = 1, .policy = otp::overflow::reject};
    pid to = otp::spawn(how, [] { otp::receive([](const go&) {}); }).pid;
    otp::send_status s{};
    if (a([&] { s = otp::send(to, tick{}); })) {
      EXPECT_EQ(s, otp::send_status::sent);
      EXPECT_EQ(otp::send(to, tick{}), otp::send_status::refused);
    } else {
      EXPECT_EQ(otp::send(to, tick{}), otp::send_status::sent) << "the room that it took is free again";
    }
  });
  each_allocation("send that ends the receiver", [](attempt& a) {
    otp::spawn_options how;
    how.monitor = true;
    how.mailbox = {.max_messages = 1, .policy = otp::overflow::kill};
    auto [to, m] = otp::spawn(how, [] { otp::receive([](const go&) {}); });
    otp::send(to, tick{});
    a.loosely([&] { otp::send(to, tick{}); });
    if (!a.did_fail) {
      EXPECT_EQ(reason_of(m), otp::reason::memory_limit);
    }
  });
  each_allocation("send that waits for room", [](attempt& a) {
    otp::spawn_options how;
    how.mailbox = {.max_messages = 1, .policy = otp::overflow::block};
    how.monitor = true;
    auto [to, m] = otp::spawn(how, [] {
      otp::sleep(1ms);
      for (int i = 0; i < 2; ++i) otp::receive([](const tick&) {}, otp::after(1s, [] {}));
    });
    otp::send(to, tick{});
    a.loosely([&] { otp::send(to, tick{}); });
    exit_reason why = reason_of(m);
    EXPECT_TRUE(why.is_normal() || a.did_fail) << why.to_string();
  });
  each_allocation("alias", [](attempt& a) {
    otp::ref r;
    if (!a([&] { r = otp::alias(otp::alias_mode::reply); })) return;
    otp::send(r, 5);
    EXPECT_EQ(otp::receive([](int n) { return n; }), 5);
  });
  each_allocation("receive", [](attempt& a) {
    for (int i = 0; i < 3; ++i) otp::send(otp::self(), tick{});
    otp::send(otp::self(), 7);
    otp::send(otp::self(), go{});
    bool got = a.loosely([&] { otp::receive([](const go&) {}); });
    EXPECT_EQ(otp::info(otp::self())->message_queue_len, got ? 4U : 5U);
  });
  each_allocation("receive with a deadline", [](attempt& a) {
    bool over = false;
    if (a([&] { otp::receive([](const go&) {}, otp::after(1ms, [&] { over = true; })); })) {
      EXPECT_TRUE(over);
    }
  });
  each_allocation("sleep and yield", [](attempt& a) {
    a([&] {
      otp::sleep(1ms);
      otp::yield();
    });
  });
  each_allocation("blocking",
                  [](attempt& a) { a([&] { EXPECT_EQ(otp::blocking([] { return std::string("text"); }), "text"); }); });
}

// covers: F06
TEST(no_memory, for_links_and_monitors) {
  each_allocation("link", [](attempt& a) {
    pid first = resting();
    pid second = resting();
    otp::link(first);
    if (a([&] { otp::link(second); })) {
      EXPECT_EQ(otp::info(otp::self())->links.size(), 2U);
    }
    otp::testing::settle();
    EXPECT_EQ(otp::info(second)->links.size(), otp::info(otp::self())->links.size() - 1) << "both or none";
  });
  each_allocation("the first link", [](attempt& a) {
    pid peer = resting();
    a([&] { otp::link(peer); });
    otp::testing::settle();
    EXPECT_EQ(otp::info(peer)->links.size(), otp::info(otp::self())->links.size()) << "both or none";
  });
  each_allocation("unlink", [](attempt& a) {
    pid peer = resting();
    otp::link(peer);
    otp::testing::settle();
    if (a([&] { otp::unlink(peer); })) {
      EXPECT_TRUE(otp::info(otp::self())->links.empty());
    }
    otp::testing::settle();
    EXPECT_EQ(otp::info(peer)->links.size(), otp::info(otp::self())->links.size()) << "both or none";
  });
  each_allocation("monitor", [](attempt& a) {
    pid peer = resting();
    otp::ref m;
    bool made = a([&] { m = otp::monitor(peer, {.alias = otp::alias_mode::demonitor, .tag = otp::term(5)}); });
    otp::send(peer, go{});
    otp::testing::settle();
    EXPECT_EQ(otp::info(otp::self())->message_queue_len, made ? 1U : 0U);
  });
  each_allocation("monitor of the dead", [](attempt& a) {
    pid peer = resting();
    otp::send(peer, go{});
    otp::testing::settle();
    otp::ref m;
    if (a([&] { m = otp::monitor(peer); })) {
      EXPECT_EQ(reason_of(m), otp::reason::noproc);
    }
  });
  each_allocation("monitor of a name", [](attempt& a) {
    pid peer = resting();
    otp::register_name("peer", peer);
    otp::ref m;
    if (!a([&] { m = otp::monitor("peer"); })) return;
    otp::send(peer, go{});
    EXPECT_EQ(reason_of(m), otp::reason::normal);
  });
  each_allocation("demonitor", [](attempt& a) {
    pid peer = resting();
    otp::ref m = otp::monitor(peer);
    bool done = a([&] { otp::demonitor(m, {.flush = true}); });
    otp::send(peer, go{});
    otp::testing::settle();
    EXPECT_EQ(otp::info(otp::self())->message_queue_len, done ? 0U : 1U);
  });
  each_allocation("exit signal", [](attempt& a) {
    auto [peer, m] = otp::spawn_monitor([] { otp::receive([](const go&) {}); });
    a.loosely([&] { otp::exit(peer, tick().text); });
    otp::exit(peer, otp::reason::kill);
    exit_reason why = reason_of(m);
    EXPECT_TRUE(why == exit_reason(tick().text) || (a.did_fail && why == otp::reason::killed)) << why.to_string();
  });
  each_allocation("kill", [](attempt& a) {
    auto [peer, m] = otp::spawn_monitor([] { otp::receive([](const go&) {}); });
    a.loosely([&] { otp::exit(peer, otp::reason::kill); });
    EXPECT_EQ(reason_of(m), otp::reason::killed) << "a kill needs no memory";
  });
}

// covers: F06
TEST(no_memory, for_the_end_of_a_process) {
  // Signals of an end have no sender who could be told: they arrive with a lesser reason, but they arrive.
  each_allocation("links and monitors are told", [](attempt& a) {
    otp::trap_exit(true);
    pid first = otp::spawn_link([] {
      otp::receive([](const go&) {});
      otp::exit(tick().text);
    });
    otp::ref m = otp::monitor(first);
    int signals = 0;
    a.loosely([&] {
      otp::send(first, go{});
      otp::testing::settle();
    });
    if (otp::is_alive(first)) otp::send(first, go{});
    otp::testing::settle();
    for (int i = 0; i < 2; ++i)
      otp::receive([&](const otp::exit_signal& s) { signals += s.from == first; },
                   [&](const otp::down& d) { signals += d.reference == m; }, otp::after(1s, [] {}));
    EXPECT_EQ(signals, 2);
  });
}

// covers: F06
TEST(no_memory, for_names_and_the_dictionary) {
  const std::string name = "a name that is too long to be kept inside of a string";
  each_allocation("register_name", [&](attempt& a) {
    pid peer = resting();
    bool done = a([&] { otp::register_name(name, peer); });
    EXPECT_EQ(otp::whereis(name), done ? std::optional(peer) : std::nullopt);
    otp::send(peer, go{});
    otp::testing::settle();
    EXPECT_FALSE(otp::whereis(name));
  });
  each_allocation("unregister_name", [&](attempt& a) {
    otp::register_name(name, otp::self());
    if (a([&] { otp::unregister_name(name); })) {
      EXPECT_FALSE(otp::whereis(name));
    }
  });
  each_allocation("a taken name", [&](attempt& a) {
    otp::register_name(name, otp::self());
    pid peer = resting();
    a.loosely([&] {
      try {
        otp::register_name(name, peer);
        ADD_FAILURE();
      } catch (const otp::bad_argument&) {
      }
    });
    EXPECT_EQ(otp::whereis(name), otp::self());
  });
  each_allocation("registered", [&](attempt& a) {
    otp::register_name(name, otp::self());
    a([&] { EXPECT_EQ(otp::registered().size(), 1U); });
  });
  each_allocation("put, get and erase", [&](attempt& a) {
    otp::put(std::string("one"), 1);
    bool done = a.loosely([&] { otp::put(std::string("two"), name); });
    EXPECT_EQ(otp::get_keys().size(), done ? 2U : 1U);
    EXPECT_EQ(otp::get(std::string("one")), otp::term(1));
  });
  each_allocation("put again", [&](attempt& a) {
    otp::put(std::string("one"), name);
    bool done = a([&] { otp::put(std::string("one"), 2); });
    EXPECT_EQ(otp::get(std::string("one")), done ? otp::term(2) : otp::term(name));
  });
  each_allocation("get_keys and erase", [&](attempt& a) {
    otp::put(std::string("one"), 1);
    if (a([&] {
          EXPECT_EQ(otp::get_keys(otp::term(1)).size(), 1U);
          otp::erase(std::string("one"));
        })) {
      EXPECT_TRUE(otp::get_keys().empty());
    }
  });
  each_allocation("set_label", [&](attempt& a) {
    otp::set_label("before");
    if (a([&] { otp::set_label(name); })) {
      EXPECT_EQ(otp::label(otp::self()), name);
    }
  });
  each_allocation("set_group_leader", [&](attempt& a) {
    pid peer = resting();
    pid leader = otp::self();
    a([&] { otp::set_group_leader(leader, peer); });
  });
  each_allocation("info", [&](attempt& a) {
    otp::spawn_link([] { otp::receive([](const go&) {}); });
    pid peer = otp::spawn_monitor([] { otp::receive([](const go&) {}); }).pid;
    otp::put(std::string("key"), name);
    otp::send(otp::self(), tick{});
    a([&] {
      EXPECT_EQ(otp::info(otp::self())->messages.size(), 1U);
      EXPECT_EQ(otp::info(peer)->monitored_by.size(), 1U);
      EXPECT_EQ(otp::processes().size(), 3U);
    });
  });
  each_allocation("report", [&](attempt& a) {
    a([&] {
      otp::report({.what = "something", .name = name, .reason = exit_reason(name), .fields = {{"key", name}}});
    });
  });
}

// covers: F06
TEST(no_memory, for_timers) {
  each_allocation("send_after", [](attempt& a) {
    if (a([&] { otp::send_after(1ms, otp::self(), tick{}); }))
      otp::receive([](const tick&) {});
    else
      otp::receive([](const tick&) { ADD_FAILURE(); }, otp::after(2ms, [] {}));
  });
  each_allocation("send_after to a name", [](attempt& a) {
    otp::register_name("a name", otp::self());
    if (a([&] { otp::send_after(1ms, "a name", tick{}); })) otp::receive([](const tick&) {});
  });
  each_allocation("start_timer", [](attempt& a) {
    otp::ref t;
    if (a([&] { t = otp::start_timer(1ms, otp::self(), otp::term(tick().text)); }))
      otp::receive([&](const otp::timer_expired& f) { EXPECT_EQ(f.timer, t); });
  });
  each_allocation("send_interval", [](attempt& a) {
    otp::ref t;
    if (!a([&] { t = otp::send_interval(1ms, otp::self(), tick{}); })) return;
    for (int i = 0; i < 3; ++i) otp::receive([](const tick&) {});
    otp::cancel_timer(t);
  });
  each_allocation("an interval goes on", [](attempt& a) {
    otp::ref t = otp::send_interval(1ms, otp::self(), go{});
    a.loosely([&] {
      for (int i = 0; i < 3; ++i) otp::receive([](const go&) {}, otp::after(1s, [] {}));
    });
    otp::cancel_timer(t);
  });
  each_allocation("apply_after and kill_after", [](attempt& a) {
    auto [peer, m] = otp::spawn_monitor([] { otp::sleep(otp::infinity); });
    if (a([&] { otp::kill_after(1ms, peer); })) {
      EXPECT_EQ(reason_of(m), otp::reason::killed);
    }
  });
  each_allocation("apply_after", [](attempt& a) {
    bool ran = false;
    if (!a([&] { otp::apply_after(1ms, [&ran] { ran = true; }); })) return;
    otp::testing::advance(2ms);
    EXPECT_TRUE(ran);
  });
  each_allocation("cancel and read", [](attempt& a) {
    otp::ref t = otp::send_after(1s, otp::self(), tick{});
    if (a([&] {
          EXPECT_TRUE(otp::read_timer(t));
          EXPECT_TRUE(otp::cancel_timer(t));
        })) {
      EXPECT_EQ(otp::counters().timers, 0U);
    }
  });
}

// covers: F06
TEST(no_memory, for_servers) {
  each_allocation("start", [](attempt& a) {
    otp::result<otp::server<server>> s;
    bool done = a.loosely([&] { s = otp::gen_server::start<server>({.name = "the server"}); });
    otp::testing::settle();
    if (done && s) {
      EXPECT_EQ(otp::call(*s, ask{"x"}), "xx");
      otp::gen_server::stop(*s);
    } else {
      if (done) {
        EXPECT_TRUE(attempt::is_no_memory(s.error())) << s.error().to_string();
      }
      EXPECT_FALSE(otp::whereis("the server"));
      EXPECT_EQ(otp::counters().processes, 1U);
    }
  });
  each_allocation("start_link", [](attempt& a) {
    otp::trap_exit(true);
    otp::result<otp::server<server>> s;
    bool done = a.loosely([&] { s = otp::gen_server::start_link<server>({.timeout = 1s}); });
    otp::testing::settle();
    if (done && s)
      otp::gen_server::stop(*s);
    else {
      EXPECT_EQ(otp::counters().processes, 1U);
    }
  });
  auto with_server = [](const char* name, const std::function<void(const otp::server<server>&)>& use,
                        bool ends = false) {
    each_allocation(name, [&](attempt& a) {
      auto s = otp::gen_server::start<server>().value();
      a.loosely([&] { use(s); });
      otp::testing::settle();
      // Whoever had no memory has ended or is as before.
      if (otp::is_alive(s.pid())) {
        EXPECT_EQ(otp::call(s, ask{"x"}), "xx");
        otp::gen_server::stop(s);
      } else {
        EXPECT_TRUE(a.did_fail || ends);
      }
      otp::testing::settle();
      EXPECT_EQ(otp::counters().processes, 1U);
      EXPECT_EQ(otp::info(otp::self())->message_queue_len, 0U);
      EXPECT_TRUE(otp::info(otp::self())->monitors.empty());
    });
  };
  with_server("call",
              [](const auto& s) { EXPECT_EQ(otp::call(s, ask{tick().text}, 1s).size(), 2 * tick().text.size()); });
  with_server("call with a from", [](const auto& s) { EXPECT_EQ(otp::call(s, later{}, 1s), 5); });
  with_server("try_call", [](const auto& s) {
    auto r = otp::try_call(s, ask{"y"}, 1s);
    if (r) {
      EXPECT_EQ(*r, "yy");
    } else {
      EXPECT_TRUE(attempt::is_no_memory(r.error())) << r.error().to_string();
    }
  });
  with_server("cast", [](const auto& s) { otp::cast(s, tick{}); });
  with_server("info", [](const auto& s) {
    otp::send(s.pid(), tick{});
    otp::yield();
  });
  with_server("send_request", [](const auto& s) {
    auto request = otp::send_request(s, ask{"z"});
    auto response = otp::receive_response(request, 1s);
    ASSERT_TRUE(response);
    if (*response) {
      EXPECT_EQ(**response, "zz");
    } else {
      EXPECT_TRUE(attempt::is_no_memory(response->error())) << response->error().to_string();
    }
  });
  with_server("stop", [](const auto& s) { otp::gen_server::stop(s); }, true);
}

// covers: F06
TEST(no_memory, for_supervisors) {
  each_allocation("start_link", [](attempt& a) {
    otp::trap_exit(true);
    otp::result<otp::server<otp::supervisor>> s;
    bool done = a.loosely([&] {
      s = otp::supervisor::start_link({.strategy = otp::one_for_one, .children = {child("one"), child("two")}});
    });
    otp::testing::settle();
    if (done && s)
      otp::supervisor::stop(*s);
    else {
      EXPECT_EQ(otp::counters().processes, 1U) << "no child was left behind";
    }
  });
  auto with_supervisor = [](const char* name, const std::function<void(const otp::server<otp::supervisor>&)>& use) {
    each_allocation(name, [&](attempt& a) {
      otp::trap_exit(true);
      auto s = otp::supervisor::start_link(
                   {.strategy = otp::one_for_one, .max_restarts = 1000, .children = {child("one"), child("two")}})
                   .value();
      a.loosely([&] { use(s); });
      otp::testing::settle();
      if (otp::is_alive(s.pid())) {
        // The tree is what it says.
        std::size_t running = 0;
        for (auto& c : otp::supervisor::which_children(s)) running += otp::is_alive(c.process);
        EXPECT_EQ(otp::counters().processes, 2 + running);
        otp::supervisor::stop(s);
      } else {
        EXPECT_TRUE(a.did_fail);
      }
      otp::testing::settle();
      EXPECT_EQ(otp::counters().processes, 1U) << "nobody outlives the supervisor";
    });
  };
  with_supervisor("start_child", [](const auto& s) {
    auto made = otp::supervisor::start_child(s, child("three"));
    if (!made) {
      EXPECT_TRUE(attempt::is_no_memory(made.error())) << made.error().to_string();
    }
  });
  with_supervisor("terminate, restart and delete", [](const auto& s) {
    static_cast<void>(otp::supervisor::terminate_child(s, "one"));
    static_cast<void>(otp::supervisor::restart_child(s, "one"));
    static_cast<void>(otp::supervisor::terminate_child(s, "two"));
    static_cast<void>(otp::supervisor::delete_child(s, "two"));
  });
  with_supervisor("which_children and count_children", [](const auto& s) {
    EXPECT_EQ(otp::supervisor::which_children(s).size(), 2U);
    EXPECT_EQ(otp::supervisor::count_children(s).active, 2U);
  });
  with_supervisor("a child that crashes", [](const auto& s) {
    otp::exit(otp::supervisor::which_children(s)[0].process, otp::reason::kill);
    otp::sleep(1ms);
  });
}

// covers: F06
TEST(no_memory, for_a_whole_runtime) {
  SCOPED_TRACE("construction, start, run and stop");
  auto once = [](long k) {
    armed_thread = pthread_self();
    left = k;
    failed = false;
    bool done = false;
    armed = true;
    try {
      otp::runtime_options o;
      o.workers = 2;
      o.listener = &nobody;
      otp::runtime rt(o);
      rt.start();
      pid who = rt.spawn([] { otp::receive([](const tick&) {}); });
      rt.send(who, tick{});
      EXPECT_TRUE(rt.run([] { otp::sleep(1us); }).is_normal());
      EXPECT_TRUE(rt.stop().clean());
      done = true;
    } catch (const std::bad_alloc&) {
    } catch (const std::system_error&) {
    } catch (const otp::exited& e) {
      EXPECT_TRUE(attempt::is_no_memory(e.reason())) << e.what();
    }
    armed = false;
    EXPECT_TRUE(done || failed);
    return failed;
  };
  for (int i = 0; i < 2; ++i) once(0);
  baseline before;
  for (long k = 1; !::testing::Test::HasFailure(); ++k) {
    SCOPED_TRACE("allocation " + std::to_string(k));
    long blocks = blocks_in_use();
    if (!once(k)) break;
    EXPECT_TRUE(eventually([&] { return blocks_in_use() == blocks; }, 5s))
        << blocks_in_use() - blocks << " blocks were lost";
    ++points;
    ASSERT_LT(k, 10'000);
  }
}

namespace {

/// The figure of the whole program, when all tests are done.
class figure final : public testing::Environment {
 public:
  void TearDown() override {
    const bool good = testing::UnitTest::GetInstance()->Passed() && points > 0;
    tests::write_figure("F16", good ? "met" : "VIOLATED",
                        "every allocation of every operation fails once: 0 lost, 0 hang",
                        std::to_string(points) + " allocations failed");
  }
};
[[maybe_unused]] auto* const printed = testing::AddGlobalTestEnvironment(new figure);

}  // namespace
