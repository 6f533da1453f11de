// A value of any type, immutable and shared: the payload of exit reasons and dynamic keys.
//
// Shape   copies share one value; it is never changed after it was made, so any process may read it.
// Source  Erlang's term, where a type is not known until run time.
#pragma once
#include <otp/detail/reference_count.hpp>
#include <otp/detail/type_name.hpp>

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace otp {

class term;

namespace detail {

template <class T>
concept has_member_text = requires(const T& value) {
  { value.to_string() } -> std::convertible_to<std::string>;
};
template <class T>
concept has_adl_text = requires(const T& value) {
  { to_string(value) } -> std::convertible_to<std::string>;
};

std::string integer_text(long long value);
std::string unsigned_text(unsigned long long value);
std::string floating_text(double value);
/// The text quoted, control characters and invalid UTF-8 escaped, cut to `most` bytes.
std::string quoted(std::string_view text, std::size_t most = 200);
/// As `quoted`, without the quotes.
std::string escaped(std::string_view text, std::size_t most = 200);

/// How a value is shown in reports: its own `to_string`, a number, a quoted text, or the name of its type.
template <class T>
std::string text_of(const T& value) {
  if constexpr (has_member_text<T>)
    return value.to_string();
  else if constexpr (std::is_same_v<T, bool>)
    return value ? "true" : "false";
  else if constexpr (std::is_same_v<T, std::nullptr_t>)
    return "nullptr";
  else if constexpr (std::is_convertible_v<const T&, std::string_view>)
    return quoted(std::string_view(value));
  else if constexpr (std::is_integral_v<T> && std::is_signed_v<T>)
    return integer_text(value);
  else if constexpr (std::is_integral_v<T>)
    return unsigned_text(value);
  else if constexpr (std::is_floating_point_v<T>)
    return floating_text(static_cast<double>(value));
  else if constexpr (has_adl_text<T>)
    return to_string(value);
  else if constexpr (std::is_enum_v<T>)
    return std::string(type_name<T>) + "(" + integer_text(static_cast<long long>(value)) + ")";
  else
    return std::string(type_name<T>) + "{}";
}

template <class T>
concept holds_values = requires { typename T::value_type; } && !std::is_same_v<typename T::value_type, T>;
template <class T>
concept holds_value_or_error = holds_values<T> && requires { typename T::error_type; };
/// Whether == of a type can be used. Templates of the standard library may have one whatever they hold, which does not
/// compile when it is used: so these are asked for what they hold.
template <class T>
struct comparable : std::bool_constant<std::equality_comparable<T>> {};
template <>
struct comparable<void> : std::true_type {};
template <holds_values T>
struct comparable<T>
    : std::conjunction<comparable<typename T::value_type>, std::bool_constant<std::equality_comparable<T>>> {};
template <holds_value_or_error T>
struct comparable<T> : std::conjunction<comparable<typename T::value_type>, comparable<typename T::error_type>> {};
template <class First, class Second>
struct comparable<std::pair<First, Second>>
    : std::conjunction<comparable<std::remove_const_t<First>>, comparable<Second>> {};
template <class... Parts>
struct comparable<std::tuple<Parts...>> : std::conjunction<comparable<Parts>...> {};

/// What the untyped parts need to know of a type. One per type; its address is the type's identity.
struct type_record {
  std::string_view name;
  std::size_t size;
  std::string (*text)(const void* value);
  bool (*equal)(const void* left, const void* right);      // null where the type has no ==
  std::uint64_t (*absolute)(const void* value) = nullptr;  // |value| of a whole number or an enum
};

/// |number|, also of the least one.
template <class Number>
constexpr std::uint64_t absolute_of(Number number) noexcept {
  if constexpr (std::is_enum_v<Number>) {
    return absolute_of(static_cast<std::underlying_type_t<Number>>(number));
  } else if constexpr (std::is_signed_v<Number>) {
    using magnitude = std::make_unsigned_t<Number>;
    const auto bits = static_cast<magnitude>(number);
    return number < 0 ? static_cast<magnitude>(0 - bits) : bits;
  } else {
    return static_cast<std::uint64_t>(number);
  }
}

template <class T>
inline constexpr type_record record_of{
    type_name<T>, sizeof(T), [](const void* value) { return detail::text_of(*static_cast<const T*>(value)); },
    []() -> bool (*)(const void*, const void*) {
      if constexpr (comparable<T>::value)
        return [](const void* left, const void* right) -> bool {
          return *static_cast<const T*>(left) == *static_cast<const T*>(right);
        };
      else
        return nullptr;
    }(),
    []() -> std::uint64_t (*)(const void*) {
      if constexpr (std::is_integral_v<T> || std::is_enum_v<T>)
        return [](const void* value) -> std::uint64_t { return absolute_of(*static_cast<const T*>(value)); };
      else
        return nullptr;
    }()};

struct term_box {
  explicit term_box(const type_record* t) : type(t) {}
  virtual ~term_box() = default;
  virtual const void* value() const noexcept = 0;
  std::atomic<std::uint32_t> references{1};
  const type_record* type;
};

template <class T>
struct typed_term_box final : term_box {
  template <class U>
  explicit typed_term_box(U&& u) : term_box(&record_of<T>), held(std::forward<U>(u)) {}
  const void* value() const noexcept override { return &held; }
  T held;
};

/// What a value is kept as: text is kept as std::string, so that "x" and std::string("x") are equal terms.
template <class T>
using stored_term =
    std::conditional_t<std::is_convertible_v<const std::decay_t<T>&, std::string_view>, std::string, std::decay_t<T>>;

}  // namespace detail

class term {
 public:
  term() = default;
  template <class T>
    requires(!std::is_same_v<std::remove_cvref_t<T>, term>)
  term(T&& value) : box_(new detail::typed_term_box<detail::stored_term<T>>(std::forward<T>(value))) {}
  term(const term& other) noexcept : box_(other.box_) {
    if (box_) box_->references.fetch_add(1, std::memory_order_relaxed);  // the copier already holds one
  }
  term(term&& other) noexcept : box_(std::exchange(other.box_, nullptr)) {}
  term& operator=(term other) noexcept {
    std::swap(box_, other.box_);
    return *this;
  }
  ~term() {
    if (box_ && detail::drop_reference(box_->references)) delete box_;
  }

  bool empty() const noexcept { return !box_; }
  explicit operator bool() const noexcept { return box_; }

  /// The value if it is a `T`, else null. Text is always a std::string.
  template <class T>
  const T* get_if() const noexcept {
    return box_ && box_->type == &detail::record_of<T> ? static_cast<const T*>(box_->value()) : nullptr;
  }
  std::string_view type_name() const noexcept { return box_ ? box_->type->name : std::string_view("none"); }
  /// The absolute value of what is a whole number or an enum.
  std::optional<std::uint64_t> absolute() const {
    if (!box_ || !box_->type->absolute) return std::nullopt;
    return box_->type->absolute(box_->value());
  }
  std::string to_string() const { return box_ ? box_->type->text(box_->value()) : "none"; }

  /// Equal where the types are the same and their `==` says so; a value without `==` equals only its own copies.
  friend bool operator==(const term& left, const term& right) noexcept {
    if (left.box_ == right.box_) return true;
    if (!left.box_ || !right.box_ || left.box_->type != right.box_->type || !left.box_->type->equal) return false;
    return left.box_->type->equal(left.box_->value(), right.box_->value());
  }

 private:
  detail::term_box* box_ = nullptr;
};

}  // namespace otp
