// A registry maps keys to processes: names made at run time, and groups of processes to tell something to.
//
// Shape   a registry is a constant with the types of its keys and values, and a supervisor that runs under its name. A
//         process registers itself, in its own time: it writes into tables that all processes share and links with the
//         registry's keeper, which takes its entries out when it ends. Looking up asks no process. Keys and values are
//         copied to whoever looks; functions given to match, select and dispatch run in the caller, with no lock held.
// Units   keepers: 1 to 256 partitions, 1 by default.
// Errors  an operation on a registry that does not run, or runs with other types, throws bad_argument; so do options
//         that cannot be. A taken key is returned: already_registered, with the holder.
// Source  Elixir's Registry. Differs: an entry is never returned once its process has ended, also while the keeper has
//         not yet taken it out; patterns and guards are C++ functions; a duplicate registry has neither via names nor
//         update_value, which the compiler says (docs/guide/registry.md); listeners hear also of a key that is given up
//         by the end of its process, and not of an unregister that found nothing.
#pragma once
#include <otp/detail/registry_core.hpp>

namespace otp {

// What the compiler names in its first error when a registry cannot do what it is asked.
template <class Registry>
struct needs_unique_registry;  // names and update_value belong to an otp::unique_registry: a key here has many holders
template <class Registry, class Function>
struct not_a_match;  // match and its kin take bool(const Value&), or bool(otp::pid, const Value&)
template <class Registry, class Function>
struct not_a_selection;  // select takes Result(const Key&, otp::pid, const Value&), where an empty
                         // std::optional<Result> leaves an entry out; count_select takes the same with a bool
template <class Value>
struct needs_registry_value;  // `Value` has no default: register it with a value

/// A process under a key, with the value it registered.
template <class Value>
struct registration {
  otp::pid process;
  Value value;
  friend bool operator==(const registration&, const registration&) = default;
};

/// What the listeners of a registry get when a process has registered itself.
template <class Key, class Value = std::monostate>
struct key_registered {
  std::string registry;
  Key key;
  otp::pid process;
  Value value;
};
/// The same when it has given a key up, by itself or by its end: once, however many entries it had there, and not as
/// long as unregister_match has left one.
template <class Key>
struct key_unregistered {
  std::string registry;
  Key key;
  otp::pid process;
};

namespace detail {

template <class Key, class Value>
envelope* registered_event(std::string_view registry, const registry_row& row) {
  return make_envelope(key_registered<Key, Value>{std::string(registry), value_in<Key>(row.key), row.process,
                                                  value_in<Value>(row.value)});
}
template <class Key>
envelope* unregistered_event(std::string_view registry, const registry_row& row) {
  return make_envelope(key_unregistered<Key>{std::string(registry), value_in<Key>(row.key), row.process});
}
template <bool Unique, class Key, class Value>
inline constexpr registry_type registry_type_record{Unique, type_name<Key>, type_name<Value>,
                                                    &registered_event<Key, Value>, &unregistered_event<Key>};

template <bool Unique, class Key, class Value>
class registry_constant : public registry_name {
  // NOLINTNEXTLINE(bugprone-sizeof-expression): it asks for a complete type, and says which is missing
  static_assert(sizeof(typename decltype(first_problem(judge_key<Key>(), judge_value<Value>()))::type) > 0);

 public:
  using key_type = Key;
  using value_type = Value;
  static constexpr bool is_unique = Unique;
  constexpr explicit registry_constant(std::string_view name) : registry_name(name) {}
  const registry_type& type() const noexcept { return registry_type_record<Unique, Key, Value>; }
  registry_table& table(const char* what) const { return registry_at(*this, type(), what); }
};

}  // namespace detail

/// A registry in which a key belongs to one process at most.
template <class Key, class Value = std::monostate>
class unique_registry : public detail::registry_constant<true, Key, Value> {
 public:
  using detail::registry_constant<true, Key, Value>::registry_constant;
};
/// A registry in which any number of processes may have a key, each any number of times.
template <class Key, class Value = std::monostate>
class duplicate_registry : public detail::registry_constant<false, Key, Value> {
 public:
  using detail::registry_constant<false, Key, Value>::registry_constant;
};

namespace detail {

template <class R>
concept any_registry =
    std::is_base_of_v<registry_constant<R::is_unique, typename R::key_type, typename R::value_type>, R>;
template <class R>
concept is_unique_registry = any_registry<R> && R::is_unique;
template <class R>
using key_of = lookup_key<typename R::key_type>;
template <class R>
using found = registration<typename R::value_type>;

template <class R>
std::vector<found<R>> typed(std::vector<registry_match>&& matches) {
  std::vector<found<R>> all;
  all.reserve(matches.size());
  for (registry_match& m : matches) all.push_back({m.process, value_in<typename R::value_type>(m.value)});
  return all;
}

template <class R, class F>
concept matcher = requires(F& f, const typename R::value_type& value) {
  { f(value) } -> std::convertible_to<bool>;
};
template <class R, class F>
concept process_matcher = requires(F& f, otp::pid process, const typename R::value_type& value) {
  { f(process, value) } -> std::convertible_to<bool>;
};
template <class R, class F>
concept any_matcher = matcher<R, F> || process_matcher<R, F>;
template <class R, class F>
bool matches(F& wanted, otp::pid process, const typename R::value_type& value) {
  if constexpr (matcher<R, F>)
    return wanted(value);
  else
    return wanted(process, value);
}

template <class R, class F>
concept selector = requires(F& f, const typename R::key_type& key, otp::pid process,
                            const typename R::value_type& value) { f(key, process, value); };
template <class R, class F>
concept counter_of =
    requires(F& f, const typename R::key_type& key, otp::pid process, const typename R::value_type& value) {
      { f(key, process, value) } -> std::convertible_to<bool>;
    };
/// A key of a lock that is not made into a key of the registry.
template <class R, class Key>
concept other_lock_key = !std::is_convertible_v<const Key&, typename R::key_type>;
template <class Key>
concept good_key = std::is_same_v<typename decltype(judge_key<Key>())::type, fine>;

template <class T>
struct selected {
  using type = T;
  static std::optional<T> take(T&& value) { return std::optional<T>(std::move(value)); }
};
template <class T>
struct selected<std::optional<T>> {
  using type = T;
  static std::optional<T> take(std::optional<T>&& value) { return std::move(value); }
};
template <class R, class F>
using selection = selected<
    std::decay_t<std::invoke_result_t<F&, const typename R::key_type&, otp::pid, const typename R::value_type&>>>;

}  // namespace detail

// ---- starting ----------------------------------------------------------------------------------------------------

/// What decides where an entry of a duplicate registry is kept, and so whether a dispatch can be spread.
enum class partition_by : std::uint8_t { process, key };

struct registry_options {
  int partitions = 1;
  otp::partition_by partition_by = otp::partition_by::process;
  std::vector<std::string> listeners{};  ///< local names; one that nobody has at that moment hears nothing
  std::vector<std::pair<term, term>> meta{};
};

struct registry {
  /// Starts a registry, linked to the caller: a supervisor of its keepers, under the registry's name.
  /// Errors: already_started; throws bad_argument that lists every fault of name and options.
  template <detail::any_registry Registry>
  [[nodiscard]] static result<server<registry>> start_link(const Registry& which, registry_options options = {}) {
    return start(which, which.type(), std::move(options));
  }
  /// Stops a registry; the processes registered in it end with `shutdown`, unless they trap exits.
  template <detail::any_registry Registry>
  static void stop(const Registry& which, exit_reason why = {}, duration timeout = infinity) {
    stop_named(which, std::move(why), timeout);
  }
  static result<server<registry>> start(const detail::registry_name& name, const detail::registry_type& type,
                                        registry_options options);

 private:
  static void stop_named(const detail::registry_name& name, exit_reason why, duration timeout);
};

namespace detail {
child_spec registry_child(const registry_name& name, const registry_type& type, registry_options options);
}
/// The spec of a registry as a child. Its id is its name.
template <detail::any_registry Registry>
child_spec child_registry(const Registry& which, registry_options options = {}) {
  return detail::registry_child(which, which.type(), std::move(options));
}

// ---- registering -------------------------------------------------------------------------------------------------

/// Registers the calling process under a key; returns the keeper that it is linked with now.
/// Errors: already_registered with the holder, in a unique registry; also if that is the caller.
template <detail::any_registry Registry>
[[nodiscard]] result<pid> register_key(const Registry& in, std::type_identity_t<typename Registry::key_type> key,
                                       std::type_identity_t<typename Registry::value_type> value = {}) {
  using key_type = typename Registry::key_type;
  detail::registry_table& table = in.table("register_key");
  const detail::lookup_key<key_type> asked(key);
  detail::key_view view = detail::view_of<key_type>(asked);
  return detail::add_entry(table, view, term(key_type(key)), detail::term_of(std::move(value)));
}
/// Removes all of the caller's entries under a key; there need not be any.
template <detail::any_registry Registry>
void unregister_key(const Registry& in, const std::type_identity_t<detail::key_of<Registry>>& key) {
  detail::remove_entries(in.table("unregister_key"), detail::view_of<typename Registry::key_type>(key));
}
/// Removes those of the caller's entries under a key whose value `wanted(value)` says yes to.
template <detail::any_registry Registry, class F>
  requires detail::matcher<Registry, F>
void unregister_match(const Registry& in, const std::type_identity_t<detail::key_of<Registry>>& key, F wanted) {
  using value_type = typename Registry::value_type;
  detail::remove_entries_if(
      in.table("unregister_match"), detail::view_of<typename Registry::key_type>(key),
      [](void* f, const term& value) -> bool { return (*static_cast<F*>(f))(detail::value_in<value_type>(value)); },
      &wanted);
}
template <detail::any_registry Registry, class F>
  requires(!detail::matcher<Registry, F>)
not_a_match<Registry, F> unregister_match(const Registry&, const std::type_identity_t<detail::key_of<Registry>>&, F);

/// Replaces the value that the caller has under a key by change(old); returns {new, old}, or nothing if the caller does
/// not have the key. Other processes see the one or the other.
template <detail::is_unique_registry Registry, class F>
  requires std::is_invocable_r_v<typename Registry::value_type, F&, const typename Registry::value_type&>
std::optional<std::pair<typename Registry::value_type, typename Registry::value_type>> update_value(
    const Registry& in, const std::type_identity_t<detail::key_of<Registry>>& key, F change) {
  using value_type = typename Registry::value_type;
  detail::registry_table& table = in.table("update_value");
  detail::key_view view = detail::view_of<typename Registry::key_type>(key);
  auto held = detail::own_value(table, view);
  if (!held) return std::nullopt;
  value_type old = detail::value_in<value_type>(*held);
  value_type fresh = change(std::as_const(old));
  if (!detail::set_own_value(table, view, detail::term_of(value_type(fresh)))) return std::nullopt;
  return std::pair(std::move(fresh), std::move(old));
}
template <detail::any_registry Registry, class F>
  requires(!detail::is_unique_registry<Registry>)
needs_unique_registry<Registry> update_value(const Registry&, const std::type_identity_t<detail::key_of<Registry>>&, F);

// ---- looking up --------------------------------------------------------------------------------------------------

/// Who has a key: none or one.
template <detail::is_unique_registry Registry>
std::optional<detail::found<Registry>> lookup(const Registry& in,
                                              const std::type_identity_t<detail::key_of<Registry>>& key) {
  auto held = detail::find_entry(in.table("lookup"), detail::view_of<typename Registry::key_type>(key));
  if (!held) return std::nullopt;
  return detail::found<Registry>{held->process, detail::value_in<typename Registry::value_type>(held->value)};
}
/// All that have a key. The entries of one process come in the order in which it registered them.
template <detail::any_registry Registry>
  requires(!Registry::is_unique)
std::vector<detail::found<Registry>> lookup(const Registry& in,
                                            const std::type_identity_t<detail::key_of<Registry>>& key) {
  return detail::typed<Registry>(
      detail::find_entries(in.table("lookup"), detail::view_of<typename Registry::key_type>(key)));
}
/// The keys of a process, in no particular order; one that it registered twice stands there twice.
template <detail::any_registry Registry>
std::vector<typename Registry::key_type> keys(const Registry& in, pid process) {
  std::vector<typename Registry::key_type> all;
  for (const term& key : detail::keys_of(in.table("keys"), process))
    all.push_back(detail::value_in<typename Registry::key_type>(key));
  return all;
}
/// The values that a process has under a key, in the order in which it registered them.
template <detail::any_registry Registry>
std::vector<typename Registry::value_type> values(const Registry& in,
                                                  const std::type_identity_t<detail::key_of<Registry>>& key,
                                                  pid process) {
  std::vector<typename Registry::value_type> all;
  for (const term& value :
       detail::values_of(in.table("values"), detail::view_of<typename Registry::key_type>(key), process))
    all.push_back(detail::value_in<typename Registry::value_type>(value));
  return all;
}
/// The number of entries. Looks at every process in the registry.
template <detail::any_registry Registry>
std::size_t count(const Registry& in) {
  return detail::count_entries(in.table("count"));
}

// ---- matching and selecting --------------------------------------------------------------------------------------

/// The entries under a key that `wanted(value)` or `wanted(process, value)` says yes to.
template <detail::any_registry Registry, class F>
  requires detail::any_matcher<Registry, F>
std::vector<detail::found<Registry>> match(const Registry& in,
                                           const std::type_identity_t<detail::key_of<Registry>>& key, F wanted) {
  auto all = detail::typed<Registry>(
      detail::find_entries(in.table("match"), detail::view_of<typename Registry::key_type>(key)));
  std::erase_if(all, [&](const detail::found<Registry>& entry) {
    return !detail::matches<Registry>(wanted, entry.process, entry.value);
  });
  return all;
}
/// How many entries match() would return.
template <detail::any_registry Registry, class F>
  requires detail::any_matcher<Registry, F>
std::size_t count_match(const Registry& in, const std::type_identity_t<detail::key_of<Registry>>& key, F wanted) {
  return match(in, key, std::move(wanted)).size();
}
template <detail::any_registry Registry, class F>
  requires(!detail::any_matcher<Registry, F>)
not_a_match<Registry, F> match(const Registry&, const std::type_identity_t<detail::key_of<Registry>>&, F);
template <detail::any_registry Registry, class F>
  requires(!detail::any_matcher<Registry, F>)
not_a_match<Registry, F> count_match(const Registry&, const std::type_identity_t<detail::key_of<Registry>>&, F);

/// Puts every entry of the registry through the specifications, in order: the first that gives a value for it decides
/// what the result holds. A specification that returns std::optional gives none for what it leaves out.
template <detail::any_registry Registry, class First, class... Rest>
  requires detail::selector<Registry, First> && (detail::selector<Registry, Rest> && ...)
auto select(const Registry& in, First first, Rest... rest) {
  using value = std::common_type_t<typename detail::selection<Registry, First>::type,
                                   typename detail::selection<Registry, Rest>::type...>;
  std::vector<value> all;
  for (const detail::registry_row& row : detail::all_entries(in.table("select"))) {
    const auto key = detail::value_in<typename Registry::key_type>(row.key);
    const auto held = detail::value_in<typename Registry::value_type>(row.value);
    auto take = [&]<class F>(F& specification) {
      using chosen_by = detail::selection<Registry, F>;
      auto chosen = chosen_by::take(specification(key, row.process, held));
      if (!chosen) return false;
      all.push_back(std::move(*chosen));
      return true;
    };
    static_cast<void>(take(first) || (take(rest) || ...));
  }
  return all;
}
/// Counts the entries for which one of the specifications says yes.
template <detail::any_registry Registry, class... Specifications>
  requires(sizeof...(Specifications) > 0) && (detail::counter_of<Registry, Specifications> && ...)
std::size_t count_select(const Registry& in, Specifications... specifications) {
  std::size_t count = 0;
  for (const detail::registry_row& row : detail::all_entries(in.table("count_select"))) {
    const auto key = detail::value_in<typename Registry::key_type>(row.key);
    const auto held = detail::value_in<typename Registry::value_type>(row.value);
    if ((static_cast<bool>(specifications(key, row.process, held)) || ...)) ++count;
  }
  return count;
}
template <detail::any_registry Registry, class First, class... Rest>
  requires(!(detail::selector<Registry, First> && (detail::selector<Registry, Rest> && ...)))
not_a_selection<Registry, First> select(const Registry&, First, Rest...);
template <detail::any_registry Registry, class First, class... Rest>
  requires(!(detail::counter_of<Registry, First> && (detail::counter_of<Registry, Rest> && ...)))
not_a_selection<Registry, First> count_select(const Registry&, First, Rest...);

// ---- dispatching -------------------------------------------------------------------------------------------------

struct dispatch_options {
  bool parallel = false;  ///< one process a partition that has entries, if there are several by process
};

/// Calls `function` with a vector of the entries under a key, in the caller, unless there are none. In parallel it is
/// called once a partition, each time as a copy in a process of its own, linked to the caller; returns when all are
/// done. What it throws arrives here; of a parallel one, as the exit of the process.
template <detail::any_registry Registry, class F>
  requires std::invocable<F&, std::vector<detail::found<Registry>>>
void dispatch(const Registry& in, const std::type_identity_t<detail::key_of<Registry>>& key, F function,
              dispatch_options options = {}) {
  detail::registry_table& table = in.table("dispatch");
  auto found = detail::find_entries(table, detail::view_of<typename Registry::key_type>(key));
  if (found.empty()) return;
  if constexpr (!Registry::is_unique && std::copy_constructible<F>) {
    if (options.parallel && !detail::partitioned_by_key(table) && detail::partition_count(table) > 1) {
      std::vector<std::vector<detail::registry_match>> parts(detail::partition_count(table));
      for (detail::registry_match& m : found) parts[detail::partition_of(table, m.process)].push_back(std::move(m));
      std::vector<detail::unique_function> works;
      for (auto& part : parts)
        if (!part.empty())
          works.emplace_back([function, entries = detail::typed<Registry>(std::move(part))]() mutable {
            function(std::move(entries));
          });
      return detail::run_in_processes(std::move(works));
    }
  }
  function(detail::typed<Registry>(std::move(found)));
}

// ---- metadata ----------------------------------------------------------------------------------------------------

/// The registry's own data under a key, apart from its entries; none if there is none.
template <detail::any_registry Registry>
std::optional<term> meta(const Registry& in, const term& key) {
  return detail::get_meta(in.table("meta"), key);
}
/// The same as a `T`. Errors: bad_argument if it is something else.
template <class T, detail::any_registry Registry>
std::optional<T> meta(const Registry& in, const term& key) {
  std::optional<term> held = detail::get_meta(in.table("meta"), key);
  if (!held) return std::nullopt;
  if (const T* value = held->get_if<T>()) return *value;
  throw bad_argument("meta: under " + key.to_string() + " stands a " + std::string(held->type_name()) + ", not a " +
                     std::string(detail::type_name<T>));
}
template <detail::any_registry Registry>
void put_meta(const Registry& in, term key, term value) {
  detail::set_meta(in.table("put_meta"), std::move(key), std::move(value));
}
template <detail::any_registry Registry>
void delete_meta(const Registry& in, const term& key) {
  detail::remove_meta(in.table("delete_meta"), key);
}

// ---- locks -------------------------------------------------------------------------------------------------------

/// Runs `function` in the caller while no other process runs one under the same key, and returns what it returns. Waits
/// for its turn, in order. Keys of locks and keys of entries have nothing to do with each other: a lock may have a key
/// of another type.
template <detail::any_registry Registry, class F>
  requires std::invocable<F&>
auto lock(const Registry& in, const std::type_identity_t<typename Registry::key_type>& key, F&& function) {
  detail::registry_table& table = in.table("lock");
  detail::key_lock held(table, term(key), detail::key_hash(key));
  return function();
}
template <detail::any_registry Registry, class Key, class F>
  requires std::invocable<F&> && detail::other_lock_key<Registry, Key> && detail::good_key<detail::stored_term<Key>>
auto lock(const Registry& in, const Key& key, F&& function) {
  const detail::stored_term<Key> kept(key);
  detail::key_lock held(in.table("lock"), term(kept), detail::key_hash(kept));
  return function();
}
template <detail::any_registry Registry, class Key, class F>
  requires std::invocable<F&> && detail::other_lock_key<Registry, Key> && (!detail::good_key<detail::stored_term<Key>>)
not_a_registry_key<detail::stored_term<Key>> lock(const Registry&, const Key&, F&&);

// ---- names of servers --------------------------------------------------------------------------------------------

/// A key of a unique registry as the name of a server of type `Server`: to start it under, to call and cast.
template <class Server, class Registry>
class registered_name {
 public:
  using key_type = typename Registry::key_type;
  registered_name(const Registry& in, key_type key, term value = {})
      : registry_(in), key_(std::move(key)), value_(std::move(value)) {}

  std::optional<pid> find() const { return find(registry_.table("whereis")); }
  std::optional<pid> find_in(detail::runtime_core& in) const {
    return find(detail::registry_in(in, registry_, registry_.type(), "whereis"));
  }
  /// The same for whoever needs a name of any kind.
  via_name<Server> via() const {
    return {detail::names_in(registry_, registry_.type()),
            term(detail::registry_key{term(key_), value_, detail::key_hash(key_)})};
  }
  std::string to_string() const {
    return "{via, " + std::string(registry_.text()) + ", " + detail::text_of(key_) + "}";
  }

 private:
  std::optional<pid> find(const detail::registry_table& table) const {
    const detail::lookup_key<key_type> asked(key_);
    return detail::find_holder(table, detail::view_of<key_type>(asked));
  }
  Registry registry_;
  key_type key_;
  term value_;
};

/// The key as a name. A server that starts under it registers an empty value, `Value{}`.
template <class Server = void, detail::is_unique_registry Registry>
registered_name<Server, Registry> via(const Registry& in, std::type_identity_t<typename Registry::key_type> key) {
  if constexpr (!std::is_default_constructible_v<typename Registry::value_type>)
    static_cast<void>(sizeof(needs_registry_value<typename Registry::value_type>));
  return {in, std::move(key)};
}
/// The same with the value that the server registers. It resolves as the name without.
template <class Server = void, detail::is_unique_registry Registry>
registered_name<Server, Registry> via(const Registry& in, std::type_identity_t<typename Registry::key_type> key,
                                      std::type_identity_t<typename Registry::value_type> value) {
  return {in, std::move(key), detail::term_of(std::move(value))};
}
template <class Server = void, detail::any_registry Registry, class... Value>
  requires(!Registry::is_unique)
needs_unique_registry<Registry> via(const Registry&, std::type_identity_t<typename Registry::key_type>, Value...);

namespace detail {
template <class Server, class Registry>
struct address_of<registered_name<Server, Registry>> {
  using type = Server;
  static std::optional<pid> find(const registered_name<Server, Registry>& a) { return a.find(); }
  static std::optional<pid> find_if_any(const registered_name<Server, Registry>& a) {
    try {
      return a.find();
    } catch (const bad_argument&) {
      return std::nullopt;  // no such registry
    }
  }
  static std::optional<pid> find_in(runtime_core& in, const registered_name<Server, Registry>& a) {
    return a.find_in(in);
  }
  static std::string text(const registered_name<Server, Registry>& a) { return a.to_string(); }
};
}  // namespace detail

}  // namespace otp
