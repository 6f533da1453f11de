// What sys has switched on of one process: trace, log, statistics, a file, hooks. Belongs to the process.
#pragma once
#include <otp/sys.hpp>

#include <cstdio>
#include <deque>
#include <memory>
#include <string>
#include <vector>

namespace otp::detail {

class debugging {
 public:
  static constexpr std::size_t usual_log = 10;
  static constexpr std::size_t log_max = 1'000'000;

  /// Something is switched on.
  bool on() const noexcept;
  /// Tells everybody who wants to know. Runs user code, and lets nothing of it out.
  void tell(const sys::debug_facts& facts);

  void trace(bool on);
  void trace_into(std::unique_ptr<debug_hook> sink);
  bool open_file(const std::string& path);
  void close_file() noexcept { file_.reset(); }
  void start_log(std::size_t size);
  void stop_log() noexcept;
  void start_statistics();
  void stop_statistics() noexcept { statistics_.reset(); }
  bool install(std::string id, std::unique_ptr<debug_hook> hook);
  std::unique_ptr<debug_hook> remove(const std::string& id);
  /// One of start_options::debug. False: it is none, or cannot be done.
  bool option(const debug_option& given);

  std::vector<std::string> log() const { return {log_.begin(), log_.end()}; }
  std::optional<sys::server_statistics> statistics() const;
  /// What is on, for the status.
  std::vector<std::string> settings() const;

 private:
  struct file_closer {
    void operator()(std::FILE* f) const noexcept { std::fclose(f); }
  };
  struct named_hook {
    std::string id;
    std::unique_ptr<debug_hook> hook;
  };

  bool trace_ = false;
  std::unique_ptr<debug_hook> trace_sink_;
  std::unique_ptr<std::FILE, file_closer> file_;
  std::string path_;
  std::size_t log_size_ = 0;  // 0: off
  std::deque<std::string> log_;
  std::optional<sys::server_statistics> statistics_;
  std::vector<named_hook> hooks_;  // as they were installed
};

/// A start option that is none.
void report_bad_debug_option(const debug_option& option);
/// The reductions of the calling process.
std::uint64_t reductions_of_caller() noexcept;

}  // namespace otp::detail
