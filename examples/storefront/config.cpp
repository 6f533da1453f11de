#include "config.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <system_error>

#include "retry.hpp"

namespace storefront {
using namespace std::chrono_literals;

namespace {

[[noreturn]] void fail(const std::string& what) { throw std::system_error(errno, std::generic_category(), what); }

}  // namespace

config_file::config_file(std::string path, bool must_exist) : path_(std::move(path)), must_exist_(must_exist) {
  if (auto found = read(); !found)
    throw bad_config_file("cannot use the configuration '" + path_ + "': " + to_text(found.error()));
}

config_file::outcome config_file::read() {
  std::lock_guard lock(lock_);
  if (!must_exist_ && access(path_.c_str(), F_OK) != 0 && errno == ENOENT) return last_ = configuration{};
  errno = 0;
  std::ifstream in(path_, std::ios::binary);
  std::ostringstream text;
  if (!in || !(text << in.rdbuf()))
    return std::unexpected(std::vector<bad_key>{
        {"", "not readable (" + std::generic_category().message(errno) + ")", "a file that this program can read"}});
  auto found = configuration_from(text.str());
  if (found) last_ = *found;
  return found;
}

configuration config_file::last() {
  std::lock_guard lock(lock_);
  return last_;
}

void config_file::write(const configuration& c) {
  std::lock_guard lock(lock_);
  const std::string fresh = path_ + ".new", text = to_text(c) + "\n";
  int file = open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (file < 0) fail("cannot write '" + fresh + "'");
  bool written = ::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && fsync(file) == 0;
  int why = errno;
  close(file);
  if (!written || std::rename(fresh.c_str(), path_.c_str()) != 0) {
    if (!written) errno = why;
    why = errno;
    unlink(fresh.c_str());
    errno = why;
    fail("cannot write '" + path_ + "'");
  }
  last_ = c;
}

otp::child_spec child_config(const std::shared_ptr<config_file>& file) {
  auto load = [file] {
    auto found = otp::blocking([&] { return file->read(); });
    if (found) return *found;
    otp::report({.what = "config_refused",
                 .severity = otp::severity::warning,
                 .process = otp::self(),
                 .fields = {{"file", file->path()}, {"why", to_text(found.error())}}});
    return file->last();
  };
  return otp::child_agent(config, load).id("config");
}

otp::state_snapshot<configuration> config_now() {
  const otp::instant deadline = otp::now() + 1s;
  for (int tries = 0;; ++tries) try {
      return otp::snapshot(config, 1s);
    } catch (const otp::exited& e) {
      if (!worth_another_try(e.reason(), tries, deadline)) throw;
    }
}

// [change]
std::expected<configuration, config_refusal> change_config_to(const std::shared_ptr<config_file>& file,
                                                              const std::string& text) {
  using outcome = std::expected<configuration, config_refusal>;
  return otp::get_and_update(config, [file, text](configuration& held) -> outcome {
    return otp::blocking([&]() -> outcome {  // whoever only reads has a snapshot, and does not wait for the disk
      auto fresh = text.empty() ? file->read() : configuration_from(text);
      if (!fresh) return std::unexpected(config_refusal{std::move(fresh.error())});
      try {
        if (!text.empty()) file->write(*fresh);
      } catch (const std::system_error& e) {
        return std::unexpected(config_refusal{{}, e.what()});
      }
      return held = *fresh;
    });
  });
}
// [/change]

}  // namespace storefront
