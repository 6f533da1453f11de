#include "listener.hpp"

#include <otp/dynamic_supervisor.hpp>
#include <otp/otp.hpp>

#include <arpa/inet.h>
#include <boost/system/error_code.hpp>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <vector>

namespace storefront {
namespace {

class client {
 public:
  client() : descriptor_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    timeval patience{20, 0};
    setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }
  client(const client&) = delete;
  client& operator=(const client&) = delete;
  ~client() { close(); }
  void close() {
    if (descriptor_ >= 0) ::close(descriptor_);
    descriptor_ = -1;
  }
  // The kernel connects whether or not anybody accepts.
  bool connect(std::uint16_t port) {
    sockaddr_in to{.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
    return ::connect(descriptor_, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0;
  }
  void ask() {
    const char text[] = "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n";
    send(descriptor_, text, sizeof text - 1, MSG_NOSIGNAL);
  }
  // Waits for an answer.
  bool answered() {
    char text[1024];
    ssize_t got = recv(descriptor_, text, sizeof text, 0);
    return got > 12 && std::memcmp(text, "HTTP/1.1 404", 12) == 0;
  }

 private:
  int descriptor_;
};

// Leaves exactly `left` descriptors to the program for as long as it lives.
class few_descriptors {
 public:
  explicit few_descriptors(std::size_t left) {
    getrlimit(RLIMIT_NOFILE, &before_);
    for (int copy = dup(0); copy >= 0; copy = dup(0)) {
      taken_.push_back(copy);
      if (taken_.size() == left) break;
    }
    rlimit now{static_cast<rlim_t>(taken_.back()) + 1, before_.rlim_max};
    setrlimit(RLIMIT_NOFILE, &now);
    for (int copy : taken_) close(copy);
  }
  ~few_descriptors() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
  std::vector<int> taken_;
};

class pauses final : public otp::event_listener {
 public:
  void on_event(const otp::event& e) override {
    std::atomic<int>& kind = e.what == "accept_paused" ? count : others;
    ++kind;
    kind.notify_all();
  }
  std::atomic<int> count{0};
  std::atomic<int> others{0};
};

// covers: J01
TEST(listener, that_runs_out_of_descriptors_says_so_once_a_second_serves_who_is_there_and_recovers_by_itself) {
  pauses seen;
  listen_socket socket("127.0.0.1", 0);
  auto how = std::make_shared<settings>();
  otp::runtime runtime({.workers = 2, .listener = &seen});
  runtime.start();
  runtime.spawn([&] {
    // UBSan opens a pipe when it meets a class for the first time, and there will be none left: it meets these now.
    otp::report({.what = "hello"});
    EXPECT_TRUE(boost::system::error_code(EMFILE, boost::system::system_category()) ==
                boost::system::errc::too_many_files_open);
    otp::dynamic_supervisor::start_link({}, {.name = "connections"}).value();
    accept_connections(socket, how);
  });

  client first;
  ASSERT_TRUE(first.connect(socket.port()));
  first.ask();
  ASSERT_TRUE(first.answered());

  std::vector<client> crowd(20);
  auto begin = std::chrono::steady_clock::now();
  {
    few_descriptors only(8);
    for (client& one : crowd) {
      ASSERT_TRUE(one.connect(socket.port()));
      one.ask();
    }
    seen.count.wait(0);
    for (int i = 0; i < 100; ++i) {
      first.ask();
      ASSERT_TRUE(first.answered());
    }
    for (std::size_t i = 0; i < crowd.size() / 2; ++i) crowd[i].close();
    for (std::size_t i = crowd.size() / 2; i < crowd.size(); ++i) ASSERT_TRUE(crowd[i].answered()) << i;
  }
  auto seconds = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - begin).count();
  EXPECT_LE(seen.count, seconds + 1);
  EXPECT_TRUE(runtime.stop().clean());
}

}  // namespace
}  // namespace storefront
