// What the messages to one type of server have shown: whether it does nothing but store a value and give it back.
//
// Shape   the runners of types that could be such a store (could_be_store) tell what passes; otp::doctor reads the
//         result. Other types have none of this. A message that carries a value stores it, an empty request asks for
//         it; every answer has to be the value stored last. Anything else refutes the type for good.
// Rules   1. One server of a type is watched at a time: the first that is told a value, until it is destroyed.
//         2. Only the process of the watched server writes `value_` and what follows. Nothing is ordered by these
//            atomics: who reads them gets the figures of some moment.
#pragma once
#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

namespace otp::detail {

/// Converts to `T` and to nothing else.
template <class T>
struct exactly {
  template <class U>
    requires std::same_as<U, T>
  operator U() const;
};

/// A text, or a plain struct of one.
template <class T>
constexpr bool is_text() {
  if constexpr (std::is_same_v<T, std::string>)
    return true;
  else if constexpr (std::is_aggregate_v<T> && std::is_standard_layout_v<T> && sizeof(T) == sizeof(std::string))
    return requires { T{exactly<std::string>()}; };
  else
    return false;
}

/// Tells values apart; 0: no such value can be told apart.
template <class T>
std::uint64_t fingerprint(const T& value) noexcept {
  const char* at = nullptr;
  std::size_t size = 0;
  if constexpr (is_text<T>()) {
    auto& text = reinterpret_cast<const std::string&>(value);  // the first member of a struct has its address
    at = text.data();
    size = text.size();
  } else if constexpr (std::is_trivially_copyable_v<T> && !std::is_empty_v<T> && !std::is_array_v<T> &&
                       sizeof(T) <= 64) {
    at = reinterpret_cast<const char*>(&value);
    size = sizeof(T);
  } else {
    return 0;
  }
  std::uint64_t hash = 0xcbf29ce484222325ULL ^ size;
  for (std::size_t i = 0; i < size; ++i) hash = (hash ^ static_cast<unsigned char>(at[i])) * 0x100000001b3ULL;
  return hash | 1;
}

class stored_value_evidence {
 public:
  /// A message without an answer comes to `server`.
  template <class Message>
  void told(const void* server, const Message& message) noexcept {
    if (refuted_.load(std::memory_order_relaxed)) return;
    if constexpr (std::is_empty_v<Message>)
      refute();
    else
      store(server, fingerprint(message));
  }
  /// An empty request was answered.
  template <class Value>
  void answered(const void* server, const Value& value) noexcept {
    if (refuted_.load(std::memory_order_relaxed) || watched_.load(std::memory_order_relaxed) != server) return;
    compare(fingerprint(value));
  }
  void refute() noexcept { refuted_.store(true, std::memory_order_relaxed); }
  void gone(const void* server) noexcept {
    if (watched_.load(std::memory_order_relaxed) != server) return;
    value_.store(0, std::memory_order_relaxed);
    watched_.store(nullptr, std::memory_order_relaxed);
  }
  /// So many different values came back, and nothing else happened.
  bool shown() const noexcept {
    constexpr unsigned enough = 4;
    return !refuted_.load(std::memory_order_relaxed) && came_back_.load(std::memory_order_relaxed) >= enough;
  }

 private:
  void store(const void* server, std::uint64_t value) noexcept {
    if (value == 0) return refute();
    const void* watched = watched_.load(std::memory_order_relaxed);
    if (watched != server && (watched || !watched_.compare_exchange_strong(watched, server, std::memory_order_relaxed)))
      return;
    value_.store(value, std::memory_order_relaxed);
  }
  void compare(std::uint64_t answer) noexcept {
    if (answer != value_.load(std::memory_order_relaxed)) return refute();
    if (answer == last_.load(std::memory_order_relaxed)) return;
    last_.store(answer, std::memory_order_relaxed);
    came_back_.store(came_back_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

  std::atomic<bool> refuted_{false};
  std::atomic<const void*> watched_{nullptr};
  std::atomic<std::uint64_t> value_{0};  // fingerprint of what was stored last
  std::atomic<std::uint64_t> last_{0};   // of what came back last
  std::atomic<unsigned> came_back_{0};   // changes of it
};

/// False for types of the library that only look like a store.
template <class Server>
inline constexpr bool watched_for_values = true;

}  // namespace otp::detail
