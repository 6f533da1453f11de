// Proof that exploring finds bugs: each planted one is found, its fixed twin stays silent, and the canary fails.
//
// usage: sim [--full] [--seed N] [--runs N] [--only TEXT] [--hash]
//   --full    the median over 20 seeds, and a million silent runs a twin
//   --runs    silent runs a twin
//   --only    the programs whose name contains this
//   --hash    prints the hash of the steps of all fixed programs: equal wherever it is printed
// The last line says `N passed, M failed`.
#include "programs.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>

namespace otp::detail {
bug planted_bug = bug::none;
}

namespace {

using otp::testing::explore_options;
using otp::testing::explored;
using otp::testing::failure;
using sim::program;

constexpr std::uint64_t limit = 10'000;  // runs within which a planted bug must be found

struct settings {
  bool full = false;
  bool hash = false;
  std::uint64_t seed = 1;
  std::uint64_t runs = 10'000;
  std::string only;
};

struct tally {
  std::uint64_t found = 0;
  std::uint64_t silent = 0;
  std::uint64_t replayed = 0;
  std::uint64_t programs = 0;
  std::uint64_t runs = 0;
  std::uint64_t steps = 0;
  double seconds = 0;
  void add(const tally& o) {
    found += o.found;
    silent += o.silent;
    replayed += o.replayed;
    programs += o.programs;
    runs += o.runs;
    steps += o.steps;
    seconds += o.seconds;
  }
};

std::optional<failure> search(const program& p, bool broken, const explore_options& how, tally* t = nullptr) {
  otp::detail::planted_bug = broken ? p.planted : otp::detail::bug::none;
  try {
    explored all = otp::testing::explore(how, [&] { p.body(broken); });
    if (t) {
      t->runs += all.runs;
      t->steps += all.steps;
    }
  } catch (const failure& f) {
    return f;
  }
  return std::nullopt;
}

tally examine(const program& p, const settings& s) {
  tally t;
  t.programs = 1;
  // The bug, and that its failure can be repeated.
  std::vector<std::uint64_t> within;
  std::string kind;
  bool exact = true;
  for (unsigned i = 0; i < (s.full ? 20U : 1U); ++i) {
    auto wrong =
        search(p, true, {.seeds = limit, .seed = s.seed + i * 1'000'003, .shrink = i == 0, .faults = p.faults});
    within.push_back(wrong ? wrong->run() : limit + 1);
    if (!wrong) continue;
    kind = wrong->kind();
    setenv("OTP_SCHEDULE", wrong->schedule().c_str(), 1);
    auto again = search(p, true, {.shrink = false, .faults = p.faults});
    unsetenv("OTP_SCHEDULE");
    exact = exact && again && again->kind() == wrong->kind();
  }
  std::sort(within.begin(), within.end());
  std::uint64_t median = within[within.size() / 2];
  t.found = median <= limit;
  t.replayed = t.found && exact;
  // Its twin.
  auto start = std::chrono::steady_clock::now();
  auto alarm = search(p, false, {.seeds = s.runs, .seed = s.seed, .faults = p.faults}, &t);
  t.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  t.silent = !alarm;
  std::string found = t.found
                          ? "found in run " + std::to_string(median) + " (" + kind + (exact ? ")" : ", NOT REPEATED)")
                          : "NOT FOUND";
  std::printf("  %-50s %-38s fixed: %s, %.0f runs/s\n", p.name, found.c_str(), alarm ? "ALARM" : "silent",
              t.seconds > 0 ? static_cast<double>(t.runs) / t.seconds : 0);
  if (alarm) std::printf("%s\n", alarm->what());
  std::fflush(stdout);
  return t;
}

std::uint64_t number(const char* text) { return std::strtoull(text, nullptr, 0); }

settings read(int argc, char** argv) {
  settings s;
  bool runs = false;
  for (int i = 1; i < argc; ++i) {
    auto is = [&](const char* name) { return std::strcmp(argv[i], name) == 0; };
    if (is("--full"))
      s.full = true;
    else if (is("--hash"))
      s.hash = true;
    else if (is("--seed") && i + 1 < argc)
      s.seed = number(argv[++i]);
    else if (is("--runs") && i + 1 < argc) {
      s.runs = number(argv[++i]);
      runs = true;
    } else if (is("--only") && i + 1 < argc)
      s.only = argv[++i];
    else {
      std::fprintf(stderr, "sim: there is no '%s'\n", argv[i]);
      std::exit(2);
    }
  }
  if (s.full && !runs) s.runs = 1'000'000;
  return s;
}

int print_hash(const settings& s) {
  std::uint64_t hash = 0;
  for (const program& p : sim::programs()) {
    explored all = otp::testing::explore({.seeds = 200, .seed = s.seed, .faults = p.faults}, [&] { p.body(false); });
    hash = hash * 31 + all.hash;
  }
  std::printf("%016llx\n", static_cast<unsigned long long>(hash));
  return 0;
}

// Every other program in a process of its own, so that two processors share the work.
int child(unsigned part, unsigned parts, const settings& s) {
  int ends[2];
  if (pipe(ends) != 0) return -1;
  std::fflush(stdout);
  if (fork() == 0) {
    close(ends[0]);
    tally t;
    const auto& all = sim::programs();
    for (std::size_t i = part; i < all.size(); i += parts)
      if (std::string(all[i].name).find(s.only) != std::string::npos) t.add(examine(all[i], s));
    bool told = write(ends[1], &t, sizeof t) == sizeof t;
    _exit(told ? 0 : 1);
  }
  close(ends[1]);
  return ends[0];
}

}  // namespace

int main(int argc, char** argv) {
  settings s = read(argc, argv);
  if (s.hash) return print_hash(s);
  constexpr unsigned parts = 2;
  int results[parts];
  for (unsigned i = 0; i < parts; ++i) results[i] = child(i, parts, s);
  tally all;
  bool whole = true;
  for (int result : results) {
    tally t;
    whole = ::read(result, &t, sizeof t) == sizeof t && whole;
    if (whole) all.add(t);
  }
  while (wait(nullptr) > 0) {
  }
  bool red = false;
  try {
    otp::testing::explore({.seeds = 1}, sim::canary);
  } catch (const failure&) {
    red = true;
  }
  auto per_second = [&](std::uint64_t n) { return all.seconds > 0 ? static_cast<double>(n) / all.seconds : 0; };
  auto n = [](std::uint64_t v) { return static_cast<unsigned long long>(v); };
  std::printf("runs per second and core: %.0f, of %.0f steps each\n", per_second(all.runs),
              all.runs ? static_cast<double>(all.steps) / static_cast<double>(all.runs) : 0);
  std::printf("planted bugs found: %llu of %llu, within %llu runs\n", n(all.found), n(all.programs), n(limit));
  std::printf("fixed twins silent: %llu of %llu, %llu runs each\n", n(all.silent), n(all.programs), n(s.runs));
  std::printf("canary: %s\n", red ? "red" : "SILENT");
  std::printf("replay: %s (%llu of %llu)\n", all.replayed == all.found ? "exact" : "NOT EXACT", n(all.replayed),
              n(all.found));
  std::uint64_t passed = all.found + all.silent + all.replayed + (red ? 1 : 0);
  std::uint64_t failed = 3 * all.programs + 1 - passed + (whole ? 0 : 1);
  std::printf("%llu passed, %llu failed\n", n(passed), n(failed));
  return failed == 0 ? 0 : 1;
}
