// What the tests of registries share: each configuration of a registry, and processes that do as they are told.
#pragma once
#include <otp/otp.hpp>

#include "conformance/support.hpp"

namespace otp {
template <class Value>
void PrintTo(const registration<Value>& r, std::ostream* out) {
  *out << r.process.to_string();
}
}  // namespace otp

namespace conformance {

using otp::reason::already_registered;
using otp::reason::already_started;

inline constexpr otp::unique_registry<std::string, int> unique_names{"unique_names"};
inline constexpr otp::duplicate_registry<std::string, int> groups{"groups"};

/// Runs the body on both engines with a unique registry of one partition, and of several.
template <class Registry = decltype(unique_names), class F>
void with_unique(F body, const Registry& in = unique_names) {
  for (int partitions : {1, 8}) {
    SCOPED_TRACE(std::to_string(partitions) + " partitions");
    everywhere(5, [&] {
      EXPECT_TRUE(otp::registry::start_link(in, {.partitions = partitions}));
      body();
    });
  }
}
/// The same with a duplicate registry, partitioned by process and by key.
template <class Registry = decltype(groups), class F>
void with_duplicate(F body, const Registry& in = groups) {
  for (auto by : {otp::partition_by::process, otp::partition_by::key})
    for (int partitions : {1, 8}) {
      SCOPED_TRACE(std::to_string(partitions) + " partitions by " + (by == otp::partition_by::key ? "key" : "process"));
      everywhere(5, [&] {
        EXPECT_TRUE(otp::registry::start_link(in, {.partitions = partitions, .partition_by = by}));
        body();
      });
    }
}

/// A process that runs what it is sent, one thing after the other, and traps no exits.
class worker {
 public:
  worker() : process_(otp::spawn([] { serve(); })) {}
  otp::pid pid() const { return process_; }
  /// Runs `work` there and returns what it returns.
  template <class F>
  auto run(F work) const {
    using value = std::invoke_result_t<F&>;
    struct done {
      std::optional<value> result;
    };
    otp::send(process_, task{[work, to = otp::self()]() mutable { otp::send(to, done{work()}); }});
    return std::move(*next<done>().result);
  }
  void end(otp::exit_reason why = normal) const {
    otp::ref watch = otp::monitor(process_);
    otp::send(process_, task{[why] { otp::exit(why); }});
    EXPECT_EQ(reason_of(watch), why);
  }

 private:
  struct task {
    std::function<void()> work;
  };
  [[noreturn]] static void serve() {
    for (;;) otp::receive([](const task& t) { t.work(); });
  }
  otp::pid process_;
};

/// The pids in entries, sorted.
template <class Entries>
std::vector<otp::pid> pids_in(const Entries& entries) {
  std::vector<otp::pid> all;
  for (const auto& e : entries) all.push_back(e.process);
  std::sort(all.begin(), all.end());
  return all;
}
template <class T>
std::vector<T> sorted(std::vector<T> all) {
  std::sort(all.begin(), all.end());
  return all;
}

/// The keepers of a registry, by the number of their partition.
inline std::vector<otp::pid> keepers_of(std::string_view registry) {
  std::vector<otp::pid> all;
  for (const otp::child_info& child : otp::supervisor::which_children(registry)) all.push_back(child.process);
  return all;
}
inline bool linked_with(otp::pid process) {
  auto links = otp::info(otp::self()).value().links;
  return std::find(links.begin(), links.end(), process) != links.end();
}

}  // namespace conformance
