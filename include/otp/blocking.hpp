// Calls that block the thread: files, databases, anything without an asynchronous form.
//
// Shape   the function runs on a thread of the runtime's pool while the calling process, and only it, waits.
// Errors  an exception of the function arrives at the caller. A killed caller unwinds once the function has returned:
//         its stack, and what the function refers to on it, stay until then.
#pragma once
#include <otp/process.hpp>

#include <exception>
#include <variant>

namespace otp {

namespace detail {
/// Runs `job.call()` on the pool and waits. `job` lives on the caller's stack, which stays.
struct blocking_job {
  virtual void call() noexcept = 0;
  std::string_view type;

 protected:
  ~blocking_job() = default;
};
void run_blocking(blocking_job& job);
}  // namespace detail

/// Runs `f()` on the pool and returns what it returns.
template <class F>
std::invoke_result_t<F&> blocking(F&& f) {
  using result = std::invoke_result_t<F&>;
  using stored = std::conditional_t<std::is_void_v<result>, std::monostate, std::optional<std::decay_t<result>>>;
  struct job final : detail::blocking_job {
    explicit job(F& g) : function(g) { type = detail::type_name<std::decay_t<F>>; }
    void call() noexcept override {
      try {
        if constexpr (std::is_void_v<result>)
          function();
        else
          value.emplace(function());
      } catch (...) {
        error = std::current_exception();
      }
    }
    F& function;
    stored value;
    std::exception_ptr error;
  } work{f};
  detail::run_blocking(work);
  if (work.error) std::rethrow_exception(work.error);
  if constexpr (!std::is_void_v<result>) return std::move(*work.value);
}

}  // namespace otp
