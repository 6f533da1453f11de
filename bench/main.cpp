// The Google Benchmark program: every bench/<work>/otp_bench.cpp is linked into it.
//
// Shape   `otp_bench [ROW...] [--quick | --tiny] [--benchmark_...]`: runs the benchmarks of these rows, else all of
//         them, and prints `RESULT <row> <nanoseconds> ns` for each; --tiny lets each do one iteration. The row is the
//         benchmark's name without its arguments.
// Units   nanoseconds of real time for one item where the benchmark calls SetItemsProcessed, else for one iteration.
// Errors  exit code 1, with a text, when a benchmark reports an error, measures CPU time or does not exist.
//
// The clock must be the wall: the work is done by the workers of a runtime, and the CPU time that Google Benchmark
// counts by default is that of the one thread which started them.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace {

class result_reporter : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override { return true; }

  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      if (run.run_type == Run::RT_Iteration) report(run);
    }
  }

  bool passed() const { return passed_; }

 private:
  void report(const Run& run) {
    const std::string name = run.benchmark_name();
    if (run.error_occurred) return refuse(name, run.error_message);
    if (run.run_name.time_type.empty())
      return refuse(name,
                    "it measures the CPU time of one thread; register it with ->UseRealTime() or ->UseManualTime()");
    const auto items = run.counters.find("items_per_second");
    const double nanoseconds = items != run.counters.end() ? 1e9 / items->second.value
                                                           : 1e9 * run.real_accumulated_time / double(run.iterations);
    std::printf("RESULT %s %.1f ns\n", run.run_name.function_name.c_str(), nanoseconds);
    std::fflush(stdout);
  }

  void refuse(const std::string& name, std::string_view why) {
    std::fprintf(stderr, "otp_bench: %s: %.*s\n", name.c_str(), int(why.size()), why.data());
    passed_ = false;
  }

  bool passed_ = true;
};

}  // namespace

int main(int argc, char** argv) {
  std::string min_time = "--benchmark_min_time=1.0";
  std::string filter = "--benchmark_filter=.";
  std::vector<char*> arguments{argv[0], min_time.data(), filter.data()};  // a later argument overrides an earlier one
  std::string rows;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--quick")
      min_time = "--benchmark_min_time=0.3";
    else if (argument == "--tiny")
      min_time = "--benchmark_min_time=0";
    else if (argument.starts_with("-"))
      arguments.push_back(argv[i]);
    else
      rows += (rows.empty() ? "" : "|") + std::string(argument);
  }
  if (!rows.empty()) filter = "--benchmark_filter=^(" + rows + ")(/|$)";
  arguments[1] = min_time.data();
  arguments[2] = filter.data();

  int count = int(arguments.size());
  benchmark::Initialize(&count, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 2;
  result_reporter reporter;
  if (benchmark::RunSpecifiedBenchmarks(&reporter) == 0) {
    std::fprintf(stderr, "otp_bench: there is no benchmark '%s'; --benchmark_list_tests names them\n", rows.c_str());
    return 1;
  }
  benchmark::Shutdown();
  return reporter.passed() ? 0 : 1;
}
