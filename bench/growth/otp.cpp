// How the cost of one thing grows with the number of things: each curve over sizes from 10 to 1,000,000.
//
// Shape   `bench_growth CURVE WORKERS PASS_MS SIZE...`: prints `POINT <size> <nanoseconds>` for each size, the time of
//         one item: the least of the passes, which are repeated until they have lasted PASS_MS together, and thrice
//         unless that takes long. A size is left out when the one before it has taken too long already. `bench_growth`
//         names the curves; `bench_growth --tiny` runs each once with ten items.
// Units   nanoseconds of the steady clock for one item.
// Errors  a failed check or an unknown curve ends the program with a text.
#include "tree.hpp"

#include <otp/registry.hpp>
#include <otp/task.hpp>

#include <memory>
#include <random>
#include <span>
#include <string>

namespace {

/// What a pass took, and how many items that was.
struct pass {
  std::int64_t nanoseconds;
  std::int64_t items;
};

struct go {};
struct done {};
struct number {
  std::int64_t value;
};

struct counter {
  struct increment {
    using reply = std::int64_t;
  };
  struct value {
    using reply = std::int64_t;
  };
  struct add_one {};
  std::int64_t handle_call(increment) { return ++count; }
  std::int64_t handle_call(value) const { return count; }
  void handle_cast(add_one) { ++count; }
  std::int64_t count = 0;
};

void await_downs(std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) otp::receive([](const otp::down&) {});
}

template <class Body>
std::vector<otp::pid> spawn_many(std::int64_t count, Body body) {
  std::vector<otp::pid> started;
  started.reserve(std::size_t(count));
  for (std::int64_t i = 0; i < count; ++i) started.push_back(otp::spawn_monitor(body).pid);
  return started;
}
void wait_for_go() {
  otp::receive([](go) {});
}
void tell(std::span<const otp::pid> all) {
  for (otp::pid each : all) otp::send(each, go{});
}
std::vector<otp::server<counter>> start_counters(std::int64_t count) {
  std::vector<otp::server<counter>> started;
  started.reserve(std::size_t(count));
  for (std::int64_t i = 0; i < count; ++i) started.push_back(otp::gen_server::start<counter>().value());
  return started;
}
void stop_counters(std::span<const otp::server<counter>> all) {
  for (auto each : all) otp::monitor(each.pid());
  for (auto each : all) otp::exit(each.pid(), otp::reason::shutdown);
  await_downs(std::int64_t(all.size()));
}
/// 10,000 places among `size`, the same ones each time.
std::vector<std::int64_t> random_places(std::int64_t size) {
  std::mt19937_64 random(1);
  std::vector<std::int64_t> places;
  for (int i = 0; i < 10'000; ++i) places.push_back(std::int64_t(random() % std::uint64_t(size)));
  return places;
}

// ---- the curves: each makes what it needs of `size` things, and takes the time of what it is about ------------------

pass spawn(std::int64_t size) {
  return {bench::timed([&] {
            auto all = spawn_many(size, wait_for_go);
            tell(all);
            await_downs(size);
          }),
          size};
}

pass servers(std::int64_t size) {
  return {bench::timed([&] { stop_counters(start_counters(size)); }), size};
}

pass call(std::int64_t size) {
  auto all = start_counters(size);
  auto places = random_places(size);
  std::int64_t elapsed = bench::timed([&] {
    for (std::int64_t place : places) otp::call(all[std::size_t(place)], counter::increment{});
  });
  stop_counters(all);
  return {elapsed, std::int64_t(places.size())};
}

pass pairs(std::int64_t size) {
  constexpr std::int64_t calls = 10;
  auto all = start_counters(size);
  std::vector<otp::pid> clients;
  for (auto server : all)
    clients.push_back(otp::spawn_monitor([server] {
                        wait_for_go();
                        for (int i = 0; i < calls; ++i) otp::call(server, counter::increment{}, otp::infinity);
                      }).pid);
  std::int64_t elapsed = bench::timed([&] {
    tell(clients);
    await_downs(size);
  });
  bench::check(otp::call(all.back(), counter::value{}) == calls, "a call was lost");
  stop_counters(all);
  return {elapsed, size * calls};
}

pass senders(std::int64_t size) {
  constexpr std::int64_t casts = 10;
  auto server = otp::gen_server::start<counter>().value();
  auto clients = spawn_many(size, [server] {
    wait_for_go();
    for (int i = 0; i < casts; ++i) otp::cast(server, counter::add_one{});
  });
  std::int64_t elapsed = bench::timed([&] {
    tell(clients);
    await_downs(size);
    bench::check(otp::call(server, counter::value{}, otp::infinity) == size * casts, "a cast was lost");
  });
  otp::gen_server::stop(server);
  return {elapsed, size * casts};
}

pass mailbox(std::int64_t size) {
  for (std::int64_t i = 0; i < size; ++i) otp::send(otp::self(), number{i});
  return {bench::timed([&] {
            for (std::int64_t i = 0; i < size; ++i)
              otp::receive([&](number n) { bench::check(n.value == i, "the order is lost"); });
          }),
          size};
}

pass selective(std::int64_t size) {
  constexpr std::int64_t receives = 10;
  for (std::int64_t i = 0; i < size; ++i) otp::send(otp::self(), number{i});
  std::int64_t elapsed = bench::timed([&] {
    for (std::int64_t i = 0; i < receives; ++i) {
      otp::send(otp::self(), done{});
      otp::receive([](done) {});
    }
  });
  for (std::int64_t i = 0; i < size; ++i) otp::receive([](number) {});
  return {elapsed, receives};
}

pass timers(std::int64_t size) {
  std::mt19937_64 random(1);
  std::vector<otp::ref> armed;
  for (std::int64_t i = 0; i < size; ++i)
    armed.push_back(otp::send_after(std::chrono::milliseconds(60'000 + random() % 600'000), otp::self(), done{}));
  constexpr std::int64_t more = 10'000;
  std::int64_t elapsed = bench::timed([&] {
    for (std::int64_t i = 0; i < more; ++i) {
      otp::ref timer = otp::send_after(std::chrono::milliseconds(60'000 + i), otp::self(), done{});
      bench::check(otp::cancel_timer(timer).has_value(), "a timer was gone");
    }
  });
  for (otp::ref each : armed) otp::cancel_timer(each);
  return {elapsed, more};
}

pass expiry(std::int64_t size) {
  auto due = std::chrono::steady_clock::now() + std::chrono::milliseconds(5) + std::chrono::nanoseconds(600) * size;
  for (std::int64_t i = 0; i < size; ++i) otp::send_at(otp::instant(due.time_since_epoch()), otp::self(), done{});
  for (std::int64_t i = 0; i < size; ++i) otp::receive([](done) {});
  auto late = std::chrono::steady_clock::now() - due;
  return {std::chrono::duration_cast<std::chrono::nanoseconds>(late).count(), size};
}

pass children(std::int64_t size) {
  otp::pid supervisor = bench::start_tree(int(size));
  std::vector<otp::pid> started = bench::reports(int(size));
  std::int64_t elapsed = bench::timed([&] {
    for (otp::pid child : started) otp::exit(child, otp::reason::kill);
    bench::reports(int(size));
  });
  bench::stop_tree(supervisor);
  return {elapsed, size};
}

pass tree(std::int64_t size) {
  return {bench::timed([&] {
            otp::pid supervisor = bench::start_tree(int(size));
            bench::reports(int(size));
            bench::stop_tree(supervisor);
          }),
          size};
}

pass dynamic(std::int64_t size) {
  auto supervisor = otp::dynamic_supervisor::start_link().value();
  std::vector<otp::pid> started;
  std::int64_t elapsed = bench::timed([&] {
    for (std::int64_t i = 0; i < size; ++i)
      started.push_back(
          otp::dynamic_supervisor::start_child(supervisor, otp::child<counter>().restart(otp::temporary))->process);
    for (otp::pid child : started) otp::dynamic_supervisor::terminate_child(supervisor, child).value();
  });
  otp::dynamic_supervisor::stop(supervisor);
  return {elapsed, size};
}

constexpr otp::unique_registry<std::int64_t> keys{"keys"};
constexpr otp::duplicate_registry<std::string> groups{"groups"};

pass registering(std::int64_t size) {
  otp::registry::start_link(keys).value();
  std::int64_t elapsed = bench::timed([&] {
    for (std::int64_t key = 0; key < size; ++key) otp::register_key(keys, key).value();
    for (std::int64_t key = 0; key < size; ++key) otp::unregister_key(keys, key);
  });
  otp::registry::stop(keys, otp::reason::normal);
  return {elapsed, size};
}

pass lookup(std::int64_t size) {
  otp::registry::start_link(keys).value();
  for (std::int64_t key = 0; key < size; ++key) otp::register_key(keys, key).value();
  auto places = random_places(size);
  std::int64_t elapsed = bench::timed([&] {
    for (std::int64_t key : places) bench::check(otp::lookup(keys, key).has_value(), "a key is missing");
  });
  for (std::int64_t key = 0; key < size; ++key) otp::unregister_key(keys, key);
  otp::registry::stop(keys, otp::reason::normal);
  return {elapsed, std::int64_t(places.size())};
}

pass group(std::int64_t size) {
  otp::registry::start_link(groups).value();
  auto members = spawn_many(size, [] {
    otp::register_key(groups, "all").value();
    wait_for_go();
  });
  while (otp::lookup(groups, "all").size() != std::size_t(size)) otp::sleep(std::chrono::milliseconds(1));
  std::int64_t elapsed = bench::timed([&] {
    for (const auto& member : otp::lookup(groups, "all")) otp::send(member.process, go{});
    await_downs(size);
  });
  otp::registry::stop(groups, otp::reason::normal);
  return {elapsed, size};
}

pass names(std::int64_t size) {
  auto holders = spawn_many(size, wait_for_go);
  std::int64_t elapsed = bench::timed([&] {
    for (std::int64_t i = 0; i < size; ++i) otp::register_name("name " + std::to_string(i), holders[std::size_t(i)]);
    for (std::int64_t i = 0; i < size; ++i)
      bench::check(otp::whereis("name " + std::to_string(i)) == holders[std::size_t(i)], "a name is another's");
  });
  tell(holders);
  await_downs(size);
  return {elapsed, size};
}

pass monitors(std::int64_t size) {
  otp::pid watched = otp::spawn(wait_for_go);
  return {bench::timed([&] {
            for (std::int64_t i = 0; i < size; ++i) otp::monitor(watched);
            otp::send(watched, go{});
            await_downs(size);
          }),
          size};
}

pass links(std::int64_t size) {
  otp::pid hub = otp::spawn([owner = otp::self(), size] {
    for (std::int64_t i = 0; i < size; ++i) otp::send(owner, bench::up{otp::spawn_link(wait_for_go)});
    otp::receive([](go) { otp::exit(otp::reason::shutdown); });
  });
  for (otp::pid each : bench::reports(int(size))) otp::monitor(each);
  return {bench::timed([&] {
            otp::send(hub, go{});
            await_downs(size);
          }),
          size};
}

pass ring(std::int64_t size) {
  auto node = [owner = otp::self()](otp::pid next) {
    for (;;)
      otp::receive([&](number hops) {
        if (hops.value == 0)
          otp::send(owner, done{});
        else
          otp::send(next, number{hops.value - 1});
      });
  };
  otp::pid first = otp::spawn([=] {
    otp::pid next = otp::self();
    for (std::int64_t i = 1; i < size; ++i) next = otp::spawn_link([=] { node(next); });
    node(next);
  });
  const std::int64_t hops = std::max<std::int64_t>(size, 1'000);
  std::int64_t elapsed = 0;
  for (int round = 0; round < 2; ++round)  // the first is the warm-up: the ring is still being built
    elapsed = bench::timed([&] {
      otp::send(first, number{hops});
      otp::receive([](done) {});
    });
  otp::monitor(first);
  otp::exit(first, otp::reason::kill);
  await_downs(1);
  return {elapsed, hops};
}

pass tasks(std::int64_t size) {
  return {bench::timed([&] {
            std::vector<otp::task<std::int64_t>> started;
            for (std::int64_t i = 0; i < size; ++i) started.push_back(otp::async([i] { return i; }));
            std::int64_t sum = 0;
            for (auto& each : started) sum += otp::await(each, otp::infinity);
            bench::check(sum == size * (size - 1) / 2, "a result is wrong");
          }),
          size};
}

void tree_node(otp::pid parent, std::int64_t leaves) {
  if (leaves == 1) {
    otp::send(parent, number{1});
    return;
  }
  otp::pid self = otp::self();
  for (int i = 0; i < 10; ++i) otp::spawn([=] { tree_node(self, leaves / 10); });
  std::int64_t sum = 0;
  for (int i = 0; i < 10; ++i) otp::receive([&](number n) { sum += n.value; });
  otp::send(parent, number{sum});
}

pass skynet(std::int64_t size) {
  return {bench::timed([&] {
            otp::spawn([parent = otp::self(), size] { tree_node(parent, size); });
            otp::receive([&](number n) { bench::check(n.value == size, "a leaf is missing"); });
          }),
          size};
}

pass big(std::int64_t size) {
  struct members {
    std::shared_ptr<const std::vector<otp::pid>> all;
  };
  struct ping {
    otp::pid from;
  };
  struct pong {};
  auto started = spawn_many(size, [owner = otp::self()] {
    auto all = otp::receive([](const members& m) { return m.all; });
    otp::pid self = otp::self();
    std::size_t missing = all->size();
    for (;;)
      otp::receive(
          [&](go) {
            for (otp::pid other : *all) otp::send(other, ping{self});
          },
          [](const ping& p) { otp::send(p.from, pong{}); },
          [&](pong) {
            if (--missing == 0) otp::send(owner, done{});
          });
  });
  auto all = std::make_shared<const std::vector<otp::pid>>(started);
  for (otp::pid each : started) otp::send(each, members{all});
  std::int64_t elapsed = bench::timed([&] {
    tell(started);
    for (std::int64_t i = 0; i < size; ++i) otp::receive([](done) {});
  });
  for (otp::pid each : started) otp::exit(each, otp::reason::kill);
  await_downs(size);
  return {elapsed, size * size * 2};
}

struct curve {
  std::string_view name;
  pass (*run)(std::int64_t size);
};
constexpr curve curves[] = {{"spawn", spawn},
                            {"servers", servers},
                            {"call", call},
                            {"pairs", pairs},
                            {"senders", senders},
                            {"mailbox", mailbox},
                            {"selective", selective},
                            {"timers", timers},
                            {"expiry", expiry},
                            {"children", children},
                            {"tree", tree},
                            {"dynamic", dynamic},
                            {"registering", registering},
                            {"lookup", lookup},
                            {"group", group},
                            {"names", names},
                            {"monitors", monitors},
                            {"links", links},
                            {"ring", ring},
                            {"tasks", tasks},
                            {"skynet", skynet},
                            {"big", big}};

constexpr std::int64_t too_long = 4'000'000'000;  // nanoseconds for one size
constexpr int least_passes = 3;                   // unless they take long

void measure(const curve& c, unsigned workers, std::int64_t target, std::span<const std::int64_t> sizes) {
  bench::silence quiet;
  otp::runtime rt({.workers = workers, .max_processes = std::size_t{1} << 22, .listener = &quiet});
  rt.start();
  for (std::int64_t size : sizes) {
    double best = 0;
    std::int64_t start = bench::now();
    for (int passes = 0; passes == 0 || bench::now() - start < (passes < least_passes ? too_long / 4 : target);
         ++passes) {
      pass took{};
      otp::exit_reason why = rt.run([&] { took = c.run(size); });
      bench::check(why.is_normal(), why.to_string().c_str());
      double each = double(took.nanoseconds) / double(took.items);
      best = best == 0 ? each : std::min(best, each);
    }
    std::printf("POINT %lld %.1f\n", static_cast<long long>(size), best);
    std::fflush(stdout);
    if (bench::now() - start > too_long) break;
  }
  rt.stop();
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string_view> arguments(argv + 1, argv + argc);
  const std::int64_t ten[] = {10};
  if (arguments == std::vector<std::string_view>{"--tiny"}) {
    for (const curve& c : curves) measure(c, 2, 1, ten);
    return 0;
  }
  for (const curve& c : curves) {
    if (arguments.size() < 4 || arguments[0] != c.name) continue;
    std::vector<std::int64_t> sizes;
    for (std::string_view size : std::span(arguments).subspan(3)) sizes.push_back(std::atoll(size.data()));
    measure(c, unsigned(std::atoi(argv[2])), std::atoll(argv[3]) * 1'000'000, sizes);
    return 0;
  }
  std::fprintf(stderr, "usage: bench_growth CURVE WORKERS PASS_MS SIZE... | --tiny\ncurves:");
  for (const curve& c : curves) std::fprintf(stderr, " %s", c.name.data());
  std::fprintf(stderr, "\n");
  return 2;
}
