// A cache in front of something slow. However many ask for a key at once, it is loaded once, in a process of its own,
// while the cache goes on answering others. A value is kept for a while; a load that fails, fails those who wait for it.
#pragma once
#include <otp/otp.hpp>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

// [cache]
struct cache {
  using loader = std::function<std::string(const std::string& key)>;
  using answer = otp::result<std::string>;

  struct get { using reply = answer; std::string key; };
  struct forget { std::string key; };
  struct loaded { std::string key, value; };        // from a process that loads
  struct expired { std::string key; int version; };  // from a timer
  using messages = otp::messages<loaded, expired>;

  static auto start_link(loader load, otp::duration keep) {
    return otp::gen_server::start_link<cache>({.name = "cache"}, std::move(load), keep);
  }
  cache(loader slow, otp::duration lifetime) : load(std::move(slow)), keep(lifetime) {}

  // With a `from` the answer may come later.
  void handle_call(const get& request, otp::from<answer> caller) {
    entry& e = entries[request.key];
    if (e.value) return caller.reply(*e.value);
    e.waiting.push_back(std::move(caller));
    if (!e.loading) start_loading(request.key, e);
  }
  void handle_cast(const forget& request) {
    if (auto e = entries.find(request.key); e != entries.end() && e->second.value) entries.erase(e);
  }
  void handle_info(loaded result) {
    entry& e = entries[result.key];
    e.version = ++versions;
    e.value = std::move(result.value);
    for (auto& caller : std::exchange(e.waiting, {})) caller.reply(*e.value);
    otp::send_after(keep, otp::self(), expired{std::move(result.key), e.version});
  }
  void handle_info(const expired& timer) {
    if (auto e = entries.find(timer.key); e != entries.end() && e->second.version == timer.version) entries.erase(e);
  }
  // A load that ended without a value has thrown, or was killed.
  void handle_info(const otp::down& end) {
    auto e = entries.find(loads.extract(end.reference).mapped());
    if (e == entries.end() || e->second.loading != end.reference || e->second.value) return;
    for (auto& caller : e->second.waiting) caller.reply(std::unexpected(end.reason));
    entries.erase(e);
  }
  std::string to_string() const {
    return std::to_string(entries.size()) + " entries, " + std::to_string(loads.size()) + " loads running";
  }

  struct entry {
    std::optional<std::string> value;
    std::vector<otp::from<answer>> waiting;
    otp::ref loading;
    int version = 0;
  };
  void start_loading(const std::string& key, entry& e) {
    e.loading = otp::spawn_monitor([load = load, key, to = otp::self()] { otp::send(to, loaded{key, load(key)}); }).monitor;
    loads.emplace(e.loading, key);
  }
  loader load;
  otp::duration keep;
  int versions = 0;
  std::map<std::string, entry> entries;
  std::map<otp::ref, std::string> loads;
};
// [/cache]
