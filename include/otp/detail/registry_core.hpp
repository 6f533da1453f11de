// The untyped half of every registry: what its templates ask of the tables, which are in registry_table.cpp.
//
// Shape   a registry is found by its name in the runtime of the caller, or in one that is given. Keys and values are
//         terms: immutable and shared, so what is copied under a lock is a pointer.
#pragma once
#include <otp/child_spec.hpp>

namespace otp {

// What the compiler names in its first error when a type cannot be a key or a value.
template <class Key>
struct not_a_registry_key;  // a key is a copyable value with == and a hash: a number, text, process, enum, a tuple,
                            // pair or container of such, or a type with a std::hash
template <class Key>
struct text_key_is_not_string;  // a key that is text is kept as std::string: make that the key's type; it is looked up
                                // by anything that std::string_view is made of, and nothing is copied for it
template <class Value>
struct not_a_registry_value;  // a value is copied to whoever looks it up: give it a copy constructor; text is
                              // std::string

namespace detail {

// ---- keys --------------------------------------------------------------------------------------------------------

template <class Key>
concept has_std_hash = requires(const Key& key) {
  { std::hash<Key>{}(key) } -> std::convertible_to<std::size_t>;
};
template <class Key>
concept tuple_key = requires { std::tuple_size<Key>::value; };
template <class Key>
concept range_key = requires(const Key& key) {
  key.begin();
  key.end();
  key.size();
} && !requires { typename Key::traits_type; };  // text whose traits say what is equal
/// Equal ones may hold their elements in different orders.
template <class Key>
concept unordered_key = range_key<Key> && requires { typename Key::hasher; };
template <class Key>
inline constexpr bool is_string = std::is_same_v<Key, std::string> || std::is_same_v<Key, std::string_view>;

template <class Key>
constexpr bool can_hash();
template <class Key, std::size_t... At>
constexpr bool can_hash_parts(std::index_sequence<At...>) {
  return (can_hash<std::remove_cvref_t<std::tuple_element_t<At, Key>>>() && ...);
}
template <class Key>
constexpr bool can_hash() {
  if constexpr (std::is_integral_v<Key> || std::is_same_v<Key, term> || has_std_hash<Key> || process_like<const Key&>)
    return true;
  else if constexpr (tuple_key<Key>)
    return can_hash_parts<Key>(std::make_index_sequence<std::tuple_size_v<Key>>());
  else if constexpr (range_key<Key>)
    return can_hash<std::remove_cvref_t<decltype(*std::declval<const Key&>().begin())>>();
  else
    return false;
}

inline std::uint64_t mix_hash(std::uint64_t seed, std::uint64_t with) noexcept { return number_hash(seed * 31 + with); }

/// Keys that are equal by the == of their type have equal hashes: a type that brings a std::hash is hashed by it, also
/// where it could be taken for text or for a process, and the hashes of what has no order are added up.
template <class Key>
std::uint64_t key_hash(const Key& key) {
  if constexpr (std::is_same_v<Key, term>) {
    return term_hash(key);
  } else if constexpr (std::is_integral_v<Key>) {
    return number_hash(static_cast<std::uint64_t>(key));
  } else if constexpr (is_string<Key>) {
    return text_hash(std::string_view(key));
  } else if constexpr (has_std_hash<Key>) {
    return number_hash(std::hash<Key>{}(key));
  } else if constexpr (process_like<const Key&>) {
    return number_hash(otp::pid(key).value());
  } else if constexpr (tuple_key<Key>) {
    return std::apply(
        [](const auto&... part) {
          std::uint64_t h = sizeof...(part);
          ((h = mix_hash(h, key_hash(part))), ...);
          return h;
        },
        key);
  } else if constexpr (unordered_key<Key>) {
    std::uint64_t sum = 0;
    for (const auto& part : key) sum += key_hash(part);
    return mix_hash(key.size(), sum);
  } else {
    std::uint64_t h = key.size();
    for (const auto& part : key) h = mix_hash(h, key_hash(part));
    return h;
  }
}

template <class Key>
constexpr auto judge_key() {
  constexpr bool kept_as_it_is = std::is_same_v<Key, term> || std::is_same_v<stored_term<Key>, Key>;
  if constexpr (std::is_convertible_v<const Key&, std::string_view> && !kept_as_it_is) {
    return std::type_identity<text_key_is_not_string<Key>>();
  } else if constexpr (std::equality_comparable<Key> && std::copy_constructible<Key> && !std::is_pointer_v<Key> &&
                       std::is_object_v<Key>) {
    if constexpr (can_hash<Key>() && kept_as_it_is)
      return std::type_identity<fine>();
    else
      return std::type_identity<not_a_registry_key<Key>>();
  } else {
    return std::type_identity<not_a_registry_key<Key>>();
  }
}
template <class Value>
constexpr auto judge_value() {
  if constexpr (std::copy_constructible<Value> &&
                (std::is_same_v<Value, term> || std::is_same_v<stored_term<Value>, Value>))
    return std::type_identity<fine>();
  else
    return std::type_identity<not_a_registry_value<Value>>();
}

/// What a key is looked up by: text need not be made a std::string for it.
template <class Key>
using lookup_key = std::conditional_t<std::is_same_v<Key, std::string>, std::string_view, Key>;

/// A key that somebody asks for, without a term being made of it.
struct key_view {
  const void* value;
  bool (*equal)(const void* asked, const term& stored);
  std::uint64_t hash;
};
template <class Key>
key_view view_of(const lookup_key<Key>& key) {
  return {&key,
          [](const void* asked, const term& stored) -> bool {
            const auto& wanted = *static_cast<const lookup_key<Key>*>(asked);
            if constexpr (std::is_same_v<Key, term>) {
              return wanted == stored;
            } else {
              const Key* held = stored.get_if<Key>();
              return held && wanted == *held;
            }
          },
          key_hash(key)};
}

/// The value in a term; one that was never given is Value{}.
template <class T>
T value_in(const term& held) {
  if constexpr (std::is_same_v<T, term>) {
    return held;
  } else {
    if (const T* value = held.get_if<T>()) return *value;
    if constexpr (std::is_default_constructible_v<T>)
      if (held.empty()) return T{};
    throw bad_argument("registry: it holds a " + std::string(held.type_name()) + " where the caller's registry says " +
                       std::string(type_name<T>) + "; use one constant for one registry");
  }
}
template <class T>
term term_of(T&& value) {
  if constexpr (std::is_same_v<std::remove_cvref_t<T>, std::monostate>)
    return {};
  else
    return term(std::forward<T>(value));
}

// ---- registries --------------------------------------------------------------------------------------------------

struct registry_table;

struct registry_match {
  otp::pid process;
  term value;
};
struct registry_row {
  otp::pid process;
  term key;
  term value;
};

/// One per kind, key and value: its address says whether a constant and a running registry are of one type.
struct registry_type {
  bool unique;
  std::string_view key;
  std::string_view value;
  envelope* (*registered)(std::string_view registry, const registry_row&);  // what listeners get
  envelope* (*unregistered)(std::string_view registry, const registry_row&);
};

/// The name of a registry, its hash made when the program is compiled.
class registry_name {
 public:
  constexpr explicit registry_name(std::string_view text) : text_(text) {
    for (char c : text) hash_ = (hash_ ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  }
  constexpr std::string_view text() const { return text_; }
  constexpr std::uint64_t hash() const { return hash_; }

 private:
  std::string_view text_;
  std::uint64_t hash_ = 0xcbf29ce484222325ULL;
};

/// The running registry of that name and type. Errors: bad_argument if there is none; `what` is who asks.
registry_table& registry_at(const registry_name& name, const registry_type& type, const char* what);
registry_table& registry_in(runtime_core& in, const registry_name& name, const registry_type& type, const char* what);

// Of the calling process.
result<pid> add_entry(registry_table&, const key_view&, term key, term value);
void remove_entries(registry_table&, const key_view&);
/// Removes the entries under a key that `wanted` says yes to; it is called with no lock held.
void remove_entries_if(registry_table&, const key_view&, bool (*wanted)(void* argument, const term& value),
                       void* argument);
std::optional<term> own_value(registry_table&, const key_view&);
bool set_own_value(registry_table&, const key_view&, term value);

// Of anybody. The dead are left out.
std::optional<pid> find_holder(const registry_table&, const key_view&);
std::optional<registry_match> find_entry(const registry_table&, const key_view&);
std::vector<registry_match> find_entries(const registry_table&, const key_view&);
std::vector<term> keys_of(const registry_table&, pid process);
std::vector<term> values_of(const registry_table&, const key_view&, pid process);
std::size_t count_entries(const registry_table&);
std::vector<registry_row> all_entries(const registry_table&);

std::optional<term> get_meta(const registry_table&, const term& key);
void set_meta(registry_table&, term key, term value);
void remove_meta(registry_table&, const term& key);

/// Which partition a process belongs to, and how many there are.
std::size_t partition_of(const registry_table&, pid process);
std::size_t partition_count(const registry_table&);
bool partitioned_by_key(const registry_table&);
/// Runs each in a process of its own, linked to the caller, and waits for all.
void run_in_processes(std::vector<unique_function> works);

/// Waits for the lock of a key; gives it back in its destructor.
class key_lock {
 public:
  key_lock(registry_table&, term key, std::uint64_t hash);
  ~key_lock();
  key_lock(const key_lock&) = delete;
  key_lock& operator=(const key_lock&) = delete;

 private:
  pid keeper_;
  std::uint64_t ticket_ = 0;
};

/// A key on its way to a registry as the name of a server, with the value that the server registers.
struct registry_key {
  term key;
  term value;
  std::uint64_t hash = 0;
  std::string to_string() const { return key.to_string(); }
  friend bool operator==(const registry_key& a, const registry_key& b) noexcept { return a.key == b.key; }
};
/// A unique registry as what stands behind via names.
std::shared_ptr<name_registry> names_in(const registry_name& name, const registry_type& type);

}  // namespace detail
}  // namespace otp
