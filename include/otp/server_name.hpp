// How a server is named when it starts, and how a caller says whom it means.
//
// Shape   a local name is looked up in the runtime's name table, a global one in its table of global names, a `via`
//         name by asking its registry; each call looks again.
// Units   a local name has 1 to 255 bytes, any but NUL.
// Errors  a name that cannot be one, or a via name without a registry, throws bad_argument in whoever gives it.
// Source  gen_server's name forms: Name, {local, Name}, {global, Term}, {via, Module, Term}.
#pragma once
#include <otp/process.hpp>

#include <memory>

namespace otp {

namespace detail {
struct runtime_core;
}

/// What can stand behind a via name. All functions may be called by any process, whereis_name by any thread.
class name_registry {
 public:
  virtual ~name_registry() = default;
  /// False if the key is taken.
  virtual bool register_name(const term& key, pid process) = 0;
  virtual void unregister_name(const term& key) = 0;
  /// Forgets the key if it belongs to this process, which ends: somebody else may have taken it meanwhile. Must not
  /// wait. A registry whose table has a lock does better to look and to forget under one lock than this does.
  virtual void release_name(const term& key, pid process) {
    auto holder = whereis_name(key);
    if (!holder || *holder == process) unregister_name(key);
  }
  virtual std::optional<pid> whereis_name(const term& key) const = 0;
  virtual std::string to_string() const = 0;
};

/// A key in a registry, said to belong to a server of type `Server`.
template <class Server>
struct via_name {
  std::shared_ptr<name_registry> registry;
  term key;
};
template <class Server>
struct global_name {
  term key;
};

template <class Server = void>
via_name<Server> via(std::shared_ptr<name_registry> registry, term key) {
  return {std::move(registry), std::move(key)};
}
template <class Server = void>
global_name<Server> global(term key) {
  return {std::move(key)};
}

/// The name that a process takes when it starts: none, local, global or via a registry.
class server_name {
 public:
  server_name() = default;
  template <class Server>
  server_name(const name<Server>& local) : server_name(local.text()) {}
  server_name(std::string_view local) : kind_(kind::local), text_(local) {}
  server_name(const char* local) : server_name(std::string_view(local)) {}
  server_name(const std::string& local) : server_name(std::string_view(local)) {}
  template <class Server>
  server_name(global_name<Server> global) : kind_(kind::global), key_(std::move(global.key)) {}
  template <class Server>
  server_name(via_name<Server> via) : kind_(kind::via), registry_(std::move(via.registry)), key_(std::move(via.key)) {}

  /// Whatever can say which via name it is: a key of an otp::unique_registry.
  template <class Name>
    requires requires(const Name& name) { server_name(name.via()); }
  server_name(const Name& name) : server_name(name.via()) {}

  bool empty() const noexcept { return kind_ == kind::none; }
  /// Throws bad_argument unless a process could have this name.
  void require_valid() const;
  /// Who holds it now, in the caller's runtime or in the one given.
  std::optional<pid> whereis() const;
  std::optional<pid> whereis(detail::runtime_core& in) const;
  /// Takes it for the process; the reason is already_started with the holder, or bad_argument.
  result<void> claim(pid process) const;
  /// Gives it back if it is the process's. A local name goes with its process by itself.
  void release(pid process) const noexcept;
  void release() const noexcept { release(self()); }
  /// What identifies a supervisor so named among its siblings: the name, or the key of a registry name.
  term id() const;
  std::string to_string() const;

 private:
  enum class kind : std::uint8_t { none, local, global, via };
  kind kind_ = kind::none;
  std::string text_;
  std::shared_ptr<name_registry> registry_;
  term key_;
};

}  // namespace otp
