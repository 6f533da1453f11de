// Echo over TCP while processes are killed at random: every byte that comes back is the one that was sent, nothing
// hangs, and all files are closed at the end.
//
// usage: asio_echo [SEED [CONNECTIONS]]
#include <otp/asio.hpp>
#include <otp/receive.hpp>
#include <otp/runtime.hpp>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using namespace std::chrono_literals;
using otp::use_process;

// What the whole run has to come to.
struct totals {
  std::atomic<std::uint64_t> sent{0};      // by clients, in rounds that were completed
  std::atomic<std::uint64_t> returned{0};  // to clients
  std::atomic<std::uint64_t> echoed{0};    // by the server, in writes that were completed
  std::atomic<std::uint64_t> wrong{0};
  std::atomic<std::uint64_t> timeouts{0};
};
totals total;

#define CHECK(condition)                                                   \
  do                                                                       \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::_Exit(1);                                                       \
    }                                                                      \
  while (false)

std::size_t open_files() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& unused : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

void serve(tcp::socket socket) {
  std::vector<char> bytes(8192);
  error_code ec;
  while (std::size_t n = socket.async_read_some(asio::buffer(bytes), use_process[ec])) {
    asio::async_write(socket, asio::buffer(bytes, n), use_process[ec]);
    if (ec) return;
    total.echoed += n;
  }
}

// One connection: rounds of a random size, written and read back. Sometimes a deadline that cannot be met comes first.
// With `kills` its server may be gone at any moment.
void talk(const tcp::endpoint& server, std::uint64_t seed, int rounds, bool kills) {
  std::mt19937_64 random(seed);
  tcp::socket socket(otp::io());
  socket.async_connect(server, use_process);
  std::string sent;
  std::string got;
  for (int i = 0; i < rounds; ++i) {
    // The whole round fits into the buffers of the kernel: nobody reads while it is written.
    sent.resize(1 + random() % 16384);
    for (char& c : sent) c = static_cast<char>(random());
    got.assign(sent.size(), 0);
    if (random() % 8 == 0) {
      error_code ec;
      char none = 0;
      socket.async_read_some(asio::buffer(&none, 1), use_process.within(otp::duration(random() % 200'000))[ec]);
      CHECK(kills || ec == asio::error::timed_out);
      if (ec != asio::error::timed_out) return;
      ++total.timeouts;
    }
    error_code ec;
    asio::async_write(socket, asio::buffer(sent), use_process[ec]);
    if (!ec) asio::async_read(socket, asio::buffer(got), use_process.within(120s)[ec]);
    CHECK(kills ? ec != asio::error::timed_out : !ec);
    if (ec) return;
    if (got != sent) ++total.wrong;
    total.sent += sent.size();
    total.returned += got.size();
  }
}

struct outcome {
  int normal = 0;
  int killed = 0;
};

// A wave of connections; with `kills`, as many exit signals to random processes, at random moments.
outcome wave(std::mt19937_64& random, int connections, int rounds, bool kills) {
  tcp::acceptor acceptor(otp::io(), {asio::ip::address_v4::loopback(), 0}, true);
  acceptor.listen(4096);
  tcp::endpoint address = acceptor.local_endpoint();
  otp::pid test = otp::self();
  otp::spawned listener = otp::spawn({.monitor = true}, [a = std::move(acceptor), test]() mutable {
    for (;;) otp::send(test, otp::spawn([s = a.async_accept(use_process)]() mutable { serve(std::move(s)); }));
  });
  std::vector<otp::pid> victims;
  std::set<otp::ref> running;
  for (int i = 0; i < connections; ++i) {
    otp::spawned client = otp::spawn({.monitor = true},
                                     [address, seed = random(), rounds, kills] { talk(address, seed, rounds, kills); });
    running.insert(client.monitor);
    victims.push_back(client.pid);
  }
  outcome result;
  int shots = kills ? connections : 0;
  while (!running.empty()) {
    bool shoot = shots > 0;
    otp::receive([&](otp::pid server) { victims.push_back(server); },
                 [&](const otp::down& d) {
                   running.erase(d.reference);
                   if (d.reason == otp::reason::normal)
                     ++result.normal;
                   else
                     ++result.killed;
                   CHECK(d.reason == otp::reason::normal || d.reason == otp::reason::killed ||
                         d.reason == otp::reason::shutdown);
                 },
                 otp::after(shoot ? otp::duration(random() % 300'000) : otp::duration(120s), [&] { CHECK(shoot); }));
    if (shoot) {
      --shots;
      otp::exit(victims[random() % victims.size()],
                random() % 2 ? otp::exit_reason(otp::reason::kill) : otp::exit_reason(otp::reason::shutdown));
    }
  }
  otp::exit(listener.pid, otp::reason::kill);
  otp::receive(otp::when([&](const otp::down& d) { return d.reference == listener.monitor; }, [](const otp::down&) {}));
  // A connection that was accepted late, or whose client is gone, ends by itself.
  while (otp::process_count() > 1) otp::sleep(1ms);
  for (bool more = true; more;)
    more = otp::receive([](const otp::message&) { return true; }, otp::after(0s, [] { return false; }));
  return result;
}

// Deadlines and kills that come as close to the completion as they can.
void races(std::mt19937_64& random, int count) {
  int completed = 0;
  int late = 0;
  for (int i = 0; i < count; ++i) {
    asio::steady_timer timer(otp::io(), otp::duration(random() % 100'000));
    error_code ec;
    timer.async_wait(use_process.within(otp::duration(random() % 100'000))[ec]);
    CHECK(!ec || ec == asio::error::timed_out);
    ++(ec ? late : completed);
    otp::spawned victim = otp::spawn({.monitor = true}, [length = random() % 50'000] {
      asio::steady_timer t(otp::io(), otp::duration(length));
      t.async_wait(use_process);
    });
    otp::sleep(otp::duration(random() % 50'000));
    otp::exit(victim.pid, otp::reason::kill);
    otp::receive([&](const otp::down& d) {
      CHECK(d.reason == otp::reason::normal || d.reason == otp::reason::killed || d.reason == otp::reason::noproc);
    });
  }
  std::printf("races: %d completed, %d were late\n", completed, late);
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t seed = argc > 1 ? std::strtoull(argv[1], nullptr, 0) : std::random_device{}();
  int connections = argc > 2 ? std::atoi(argv[2]) : 100;
  std::printf("seed %llu, %d connections\n", static_cast<unsigned long long>(seed), connections);
  std::size_t files = open_files();
  for (unsigned workers : {1U, 2U, 4U}) {
    otp::runtime rt({.workers = workers});
    rt.start();
    otp::exit_reason why = rt.run([&] {
      std::mt19937_64 random(seed + workers);
      total.sent = total.returned = total.echoed = total.timeouts = 0;
      outcome quiet = wave(random, connections, 20, false);
      CHECK(quiet.normal == connections && quiet.killed == 0);
      CHECK(total.sent == total.returned && total.sent == total.echoed);
      std::uint64_t bytes = total.sent;
      outcome shot = wave(random, connections, 20, true);
      CHECK(shot.normal + shot.killed == connections);
      CHECK(total.echoed >= total.returned);
      std::printf("%u workers: %llu bytes there and back, %d clients killed, %llu deadlines\n", workers,
                  static_cast<unsigned long long>(bytes), shot.killed,
                  static_cast<unsigned long long>(total.timeouts.load()));
      races(random, 300);
    });
    CHECK(why.is_normal());
    CHECK(rt.stop().clean());
    CHECK(total.wrong == 0);
  }
  CHECK(open_files() == files);
}
