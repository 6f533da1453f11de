// A callable with one owner, for `void()`: what std::move_only_function is, without the weight of <functional>.
#pragma once
#include <otp/detail/memory.hpp>

#include <new>
#include <type_traits>
#include <utility>

namespace otp::detail {

class unique_function {
 public:
  unique_function() = default;
  template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, unique_function> && std::is_invocable_v<std::decay_t<F>&>)
  explicit unique_function(F&& f) : callable_(new holder<std::decay_t<F>>(std::forward<F>(f))) {}
  unique_function(unique_function&& other) noexcept : callable_(std::exchange(other.callable_, nullptr)) {}
  unique_function& operator=(unique_function&& other) noexcept {
    std::swap(callable_, other.callable_);
    return *this;
  }
  ~unique_function() { delete callable_; }

  explicit operator bool() const { return callable_ != nullptr; }
  void operator()() { callable_->call(); }

 private:
  struct base {
    virtual ~base() = default;
    virtual void call() = 0;
    // It travels to the process that runs it, and is gone with that.
    static void* operator new(std::size_t size) { return envelope_memory(size); }
    static void operator delete(void* memory, std::size_t size) noexcept { free_envelope_memory(memory, size); }
    static void* operator new(std::size_t size, std::align_val_t alignment) { return ::operator new(size, alignment); }
    static void operator delete(void* memory, std::align_val_t alignment) noexcept {
      ::operator delete(memory, alignment);
    }
  };
  template <class F>
  struct holder final : base {
    explicit holder(F&& f) : function(std::move(f)) {}
    explicit holder(const F& f) : function(f) {}
    void call() override { static_cast<void>(function()); }
    F function;
  };
  base* callable_ = nullptr;
};

}  // namespace otp::detail
