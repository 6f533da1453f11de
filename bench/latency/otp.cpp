// The tail of latencies: calls and timers under load, and what one bad process does to the others.
//
// Requests come in an open loop: each is due at an instant of its own, drawn beforehand, and its latency counts from
// there, also when nobody could send it in time. One process, the pacer, looks at the clock and tells one of 64 clients
// when a request is due; the client calls the server, whose handler computes for a fixed time.
//
// load50, load90   10,000 and 18,000 requests a second of 50 us each: half, and nine tenths, of what one server can do
// timer_load       timers of 1 to 100 ms in that second case: how late their messages are received
// timer_idle       the same with nothing else going on
// calm             2,000 requests a second of 10 us
// hog              the same, while the handler of another server computes for 10 s without a pause
// hog_apart        the same, where that handler computes in otp::blocking, as a long one should
// crashes          the same, while a hundred supervised children crash again and again
#include "histogram.hpp"
#include "tree.hpp"

#include <otp/blocking.hpp>

#include <memory>

namespace {

struct due {
  std::int64_t at;
};
struct finish {};
struct latencies {
  std::vector<std::int64_t> nanoseconds;
};

void compute_until(std::int64_t instant) {
  while (bench::now() < instant) {
  }
}

struct busy_server {
  struct work {
    using reply = std::int64_t;
    std::int64_t nanoseconds;
  };
  std::int64_t handle_call(work w) {
    compute_until(bench::now() + w.nanoseconds);
    return ++count;
  }
  std::int64_t count = 0;
};

struct hog {
  struct compute {
    std::int64_t nanoseconds;
  };
  struct compute_apart {
    std::int64_t nanoseconds;
  };
  void handle_cast(compute c) { compute_until(bench::now() + c.nanoseconds); }
  void handle_cast(compute_apart c) {
    otp::blocking([c] { compute_until(bench::now() + c.nanoseconds); });
  }
};

constexpr int clients = 64;

/// Runs requests of `work` nanoseconds each, so many a second, for a time; returns their latencies.
std::vector<std::int64_t> open_loop(double per_second, std::int64_t work, std::int64_t length) {
  auto server = otp::gen_server::start_link<busy_server>().value();
  std::vector<otp::pid> started;
  for (int i = 0; i < clients; ++i)
    started.push_back(otp::spawn_link([server, work, owner = otp::self()] {
      latencies mine;
      for (bool more = true; more;)
        otp::receive(
            [&](due request) {
              otp::call(server, busy_server::work{work}, otp::infinity);
              mine.nanoseconds.push_back(bench::now() - request.at);
            },
            [&](finish) { more = false; });
      otp::send(owner, std::move(mine));
    }));
  std::size_t sent = 0;
  bench::arrivals arrivals(1e9 / per_second);
  const std::int64_t start = bench::now();
  for (double next = arrivals.next_gap(); next < double(length);) {
    if (start + std::int64_t(next) > bench::now()) {
      otp::yield();
      continue;
    }
    otp::send(started[sent++ % clients], due{start + std::int64_t(next)});
    next += arrivals.next_gap();
  }
  std::vector<std::int64_t> all;
  for (otp::pid client : started) otp::send(client, finish{});
  for (int i = 0; i < clients; ++i)
    otp::receive([&](const latencies& l) { all.insert(all.end(), l.nanoseconds.begin(), l.nanoseconds.end()); });
  bench::check(all.size() == sent, "a request was lost");
  otp::gen_server::stop(server);
  return all;
}

/// How late the messages of timers of 1 to 100 ms are, one after the other from ten processes, for a time.
std::vector<std::int64_t> timers(std::int64_t length) {
  constexpr int processes = 10;
  for (int i = 0; i < processes; ++i)
    otp::spawn_link([i, length, owner = otp::self()] {
      latencies mine;
      const std::int64_t end = bench::now() + length;
      for (int n = i; bench::now() < end || mine.nanoseconds.empty(); ++n) {
        const std::int64_t delay = 1 + n * 37 % 100;
        const std::int64_t at = bench::now() + delay * 1'000'000;
        otp::send_after(std::chrono::milliseconds(delay), otp::self(), due{at});
        otp::receive([&](due d) { mine.nanoseconds.push_back(bench::now() - d.at); });
      }
      otp::send(owner, std::move(mine));
    });
  std::vector<std::int64_t> all;
  for (int i = 0; i < processes; ++i)
    otp::receive([&](const latencies& l) { all.insert(all.end(), l.nanoseconds.begin(), l.nanoseconds.end()); });
  return all;
}

/// Crashes a hundred supervised children, each again as soon as it is back, until the caller is told to finish.
void crash_on() {
  constexpr int children = 100;
  otp::pid supervisor = bench::start_tree(children);
  bool more = true;
  int missing = children;
  for (otp::pid child : bench::reports(children)) otp::cast(otp::server<bench::worker>(child), bench::worker::crash{});
  while (more || missing > 0)
    otp::receive(
        [&](bench::up u) {
          if (more)
            otp::cast(otp::server<bench::worker>(u.child), bench::worker::crash{});
          else
            --missing;
        },
        [&](finish) { more = false; });
  bench::stop_tree(supervisor);
}

}  // namespace

int main(int argc, char** argv) {
  bench::options how = bench::parse(argc, argv);
  const std::int64_t second = how.pick(1'000'000'000, 1'000'000'000, 10'000'000);
  const std::int64_t length = how.pick(10, 2, 1) * second;
  bench::silence quiet;
  otp::runtime rt({.listener = &quiet});
  rt.start();
  auto in_process = [&](auto body) { bench::check(rt.run(body).is_normal(), "a measuring process failed"); };
  in_process([&] { bench::percentiles("timer_idle", timers(second)); });
  in_process([&] { bench::percentiles("load50", open_loop(10'000, 50'000, length)); });
  in_process([&] {
    otp::spawn_link([owner = otp::self(), length] { otp::send(owner, std::make_shared<latencies>(timers(length))); });
    bench::percentiles("load90", open_loop(18'000, 50'000, length));
    otp::receive([](const std::shared_ptr<latencies>& late) { bench::percentiles("timer_load", late->nanoseconds); });
  });
  auto calm = [&](const char* row, std::int64_t time) { bench::percentiles(row, open_loop(2'000, 10'000, time)); };
  in_process([&] { calm("calm", length); });
  auto beside = [&](const char* row, auto long_work) {
    in_process([&] {
      auto other = otp::gen_server::start_link<hog>().value();
      otp::cast(other, long_work);
      calm(row, 10 * second);
      otp::gen_server::stop(other);
    });
  };
  beside("hog", hog::compute{10 * second});
  beside("hog_apart", hog::compute_apart{10 * second});
  in_process([&] {
    otp::spawned storm = otp::spawn_monitor(crash_on);
    calm("crashes", length);
    otp::send(storm.pid, finish{});
    otp::receive([](const otp::down& d) { bench::check(d.reason.is_normal(), "the storm failed"); });
  });
  rt.stop();
}
