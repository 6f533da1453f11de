// Names beyond the local ones: global and via.
#include <otp/call.hpp>
#include <otp/detail/registry_core.hpp>
#include <otp/server_name.hpp>

#include "behaviours/global_names.hpp"

namespace otp {

namespace detail {

bool global_names::register_name(const term& key, pid process) {
  std::lock_guard lock(lock_);
  for (entry& e : entries_)
    if (e.key == key) {
      if (is_there(core_, e.holder)) return false;
      e.holder = process;
      return true;
    }
  entries_.push_back({key, process});
  return true;
}

void global_names::unregister_name(const term& key) {
  std::lock_guard lock(lock_);
  std::erase_if(entries_, [&](const entry& e) { return e.key == key; });
}

void global_names::release_name(const term& key, pid process) {
  std::lock_guard lock(lock_);
  std::erase_if(entries_, [&](const entry& e) { return e.holder == process && e.key == key; });
}

std::optional<pid> global_names::whereis_name(const term& key) const {
  std::lock_guard lock(lock_);
  for (const entry& e : entries_)
    if (e.key == key && is_there(core_, e.holder)) return e.holder;
  return std::nullopt;
}

global_names& globals(runtime_core& core) {
  static const char key = 0;
  return static_cast<global_names&>(keep_with_runtime(
      core, &key, [](runtime_core& in) -> std::unique_ptr<kept> { return std::make_unique<global_names>(in); }));
}

}  // namespace detail

std::string this_node() { return "nonode@nohost"; }

void server_name::require_valid() const {
  if (kind_ == kind::local && !detail::valid_local_name(text_))
    throw bad_argument("the name " + detail::quoted(text_) +
                       " cannot be used; give 1 to 255 bytes without NUL, other than \"undefined\" and \"none\"");
  if (kind_ == kind::via && !registry_)
    throw bad_argument("the via name {via, none, " + key_.to_string() +
                       "} has no registry; give otp::via a registry that exists");
}

std::optional<pid> server_name::whereis() const {
  if (kind_ == kind::none) return std::nullopt;
  return whereis(detail::this_runtime("whereis"));
}

std::optional<pid> server_name::whereis(detail::runtime_core& in) const {
  require_valid();
  switch (kind_) {
    case kind::none: return std::nullopt;
    case kind::local: return detail::whereis_in(in, text_);
    case kind::global: return detail::globals(in).whereis_name(key_);
    case kind::via: return registry_->whereis_name(key_);
  }
  return std::nullopt;
}

result<void> server_name::claim(pid process) const {
  auto taken = [&]() -> result<void> {
    auto holder = whereis();
    return std::unexpected(exit_reason::of_pid(exit_reason::kind::already_started, holder.value_or(pid())));
  };
  require_valid();
  switch (kind_) {
    case kind::none: return {};
    case kind::local: return detail::claim_local_name(text_, process);
    case kind::global:
      return detail::globals(detail::this_runtime("start")).register_name(key_, process) ? result<void>() : taken();
    case kind::via: return registry_->register_name(key_, process) ? result<void>() : taken();
  }
  return {};
}

void server_name::release(pid process) const noexcept {
  try {
    if (kind_ == kind::global) detail::globals(detail::this_runtime("end")).release_name(key_, process);
    if (kind_ == kind::via && registry_) registry_->release_name(key_, process);
  } catch (...) {
    // A registry that fails to forget a dead process will find it dead.
  }
}

term server_name::id() const {
  if (kind_ == kind::local) return term(text_);
  if (const auto* registered = key_.get_if<detail::registry_key>()) return registered->key;
  return key_;
}

std::string server_name::to_string() const {
  switch (kind_) {
    case kind::none: return "none";
    case kind::local: return detail::quoted(text_);
    case kind::global: return "{global, " + key_.to_string() + "}";
    case kind::via:
      return "{via, " + (registry_ ? registry_->to_string() : std::string("none")) + ", " + key_.to_string() + "}";
  }
  return {};
}

}  // namespace otp
