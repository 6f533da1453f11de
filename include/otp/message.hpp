// A message whose type is found out at run time, and the messages that the runtime itself sends.
//
// Shape   `message` owns its value; it moves from sender to receiver and is never copied on the way.
// Source  what an Erlang process finds in its mailbox: any term, {'DOWN', ...}, {'EXIT', ...}, {timeout, Ref, Msg}.
#pragma once
#include <otp/detail/envelope.hpp>

#include <optional>

namespace otp {

/// Any message. `get_if<T>()` looks, `take<T>()` moves out.
class message {
 public:
  message() = default;
  template <class T>
    requires(!std::is_same_v<std::remove_cvref_t<T>, message>)
  explicit message(T&& value) : envelope_(detail::make_envelope(std::forward<T>(value))) {}
  explicit message(detail::envelope* owned) noexcept : envelope_(owned) {}
  message(message&& other) noexcept : envelope_(std::exchange(other.envelope_, nullptr)) {}
  message& operator=(message&& other) noexcept {
    std::swap(envelope_, other.envelope_);
    return *this;
  }
  ~message() noexcept(false) {
    if (envelope_) detail::destroy(envelope_);
  }

  explicit operator bool() const noexcept { return envelope_; }

  template <class T>
  bool is() const noexcept {
    return get_if<T>() != nullptr;
  }
  template <class T>
  const T* get_if() const noexcept {
    return envelope_ && envelope_->type == &detail::value_envelope<T>::type_of
               ? &static_cast<detail::value_envelope<T>*>(envelope_)->value
               : nullptr;
  }
  template <class T>
  T* get_if() noexcept {
    return const_cast<T*>(static_cast<const message*>(this)->get_if<T>());
  }
  template <class T>
  T take() {
    if (T* value = get_if<T>()) return std::move(*value);
    throw bad_argument("this message is a " + std::string(type_name()) + ", not a " +
                       std::string(detail::type_name<T>));
  }

  std::string_view type_name() const noexcept {
    return envelope_ && envelope_->type->record ? envelope_->type->record->name : std::string_view("none");
  }
  std::string to_string() const {
    return envelope_ && envelope_->type->record ? envelope_->type->record->text(envelope_->type->payload(envelope_))
                                                : std::string(type_name());
  }

  detail::envelope* envelope() const noexcept { return envelope_; }
  detail::envelope* release() noexcept { return std::exchange(envelope_, nullptr); }

 private:
  detail::envelope* envelope_ = nullptr;
};

/// {'DOWN', Ref, process, Object, Reason}: a monitored process ended, or was not there.
struct down {
  ref reference;
  otp::pid process;  ///< none if a name was monitored that nobody held
  std::string name;  ///< the name, if it was monitored by name
  exit_reason reason;
  term tag;  ///< the tag asked for, instead of DOWN
  std::string to_string() const;
};

/// {'EXIT', From, Reason}: an exit signal, received as a message because this process traps exits.
struct exit_signal {
  otp::pid from;
  exit_reason reason;
  std::string to_string() const;
};

/// {timeout, Ref, Message}: what start_timer sends.
struct timer_expired {
  ref timer;
  term payload;
  std::string to_string() const;
};

/// {cancel_timer, Ref, Result}: what an asynchronous cancel sends.
struct timer_cancelled {
  ref timer;
  std::optional<duration> remaining;  ///< none if it had fired, was cancelled before, or never was
  std::string to_string() const;
};

/// What may arrive at a server by plain pid, timer, dispatch or node.
template <class... Messages>
struct messages {};

}  // namespace otp
