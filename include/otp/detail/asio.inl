// What otp::use_process needs in the user's file: how a handler hands its arguments to the process that waits.
#pragma once

namespace otp::detail {

struct process;
struct runtime_core;

// One operation that a process waits for. Lives on the stack of that process.
//
// Rules
// 1. The process leaves the frame of its operation only when `pending_` is 0: buffers and results live on its stack.
//    `pending_` counts the handler and a cancellation under way. Both may run on any thread, or inside the initiation;
//    taking one's count back is the last access to this object.
// 2. `results_` (beside this object), `failure_` and `dropped_` are written before the handler takes its count back,
//    and read by the process after it has seen 0.
// 3. A cancellation is sent through the executor of the I/O object, where the operation's own handlers run: it never
//    meets a composed operation between two of its steps.
class io_operation {
 public:
  /// Errors: bad_argument outside of a process; exited(system_limit) if there is no stack to wait on.
  template <class Executor>
  io_operation(use_process_t token, const Executor& executor) : executor_(&executor) {
    if constexpr (!std::is_same_v<Executor, std::monostate>) send_cancellation_ = send_through<Executor>;
    begin(token);
  }
  io_operation(const io_operation&) = delete;
  io_operation& operator=(const io_operation&) = delete;
  ~io_operation();

  boost::asio::cancellation_slot slot() noexcept { return signal_.slot(); }

  // The handler's, on any thread.
  void failed(std::exception_ptr why) noexcept { failure_ = std::move(why); }
  void dropped() noexcept;
  void completed() noexcept;

  // The process's.
  /// Waits for the completion. Throws the process's fate, if it has one.
  void wait();
  /// An operation that its deadline has cancelled reports timed_out.
  void judge(boost::system::error_code& error) const noexcept;
  /// Throws the error or puts it where the token says.
  void settle(boost::system::error_code error) const;
  void settle(const std::exception_ptr& error) const;

  // The cancellation's memory: asking for one must not fail.
  void* allocate_request(std::size_t size);
  void free_request(void* memory, std::size_t size) noexcept;
  void cancel_now() noexcept;

 private:
  class request;
  template <class T>
  struct request_allocator {
    using value_type = T;
    explicit request_allocator(io_operation& o) noexcept : operation(&o) {}
    template <class U>
    request_allocator(const request_allocator<U>& other) noexcept : operation(other.operation) {}
    T* allocate(std::size_t count) { return static_cast<T*>(operation->allocate_request(count * sizeof(T))); }
    void deallocate(T* memory, std::size_t count) noexcept { operation->free_request(memory, count * sizeof(T)); }
    template <class U>
    bool operator==(const request_allocator<U>& other) const noexcept {
      return operation == other.operation;
    }
    io_operation* operation;
  };

  template <class Executor>
  static void send_through(io_operation& self);
  static void send_to_context(io_operation& self);
  void begin(const use_process_t& token);
  void release() noexcept;
  void cancel() noexcept;

  process* process_ = nullptr;
  runtime_core* core_ = nullptr;
  pid who_;
  boost::system::error_code* error_ = nullptr;
  std::int64_t deadline_ = 0;
  const void* executor_;  // beside this object
  void (*send_cancellation_)(io_operation&) = send_to_context;
  boost::asio::cancellation_signal signal_;
  std::exception_ptr failure_;
  std::atomic<int> pending_{1};
  std::atomic<bool> completed_{false};
  std::atomic<bool> cancelling_{false};
  bool dropped_ = false;
  bool timed_out_ = false;
  alignas(std::max_align_t) std::byte request_memory_[128];
};

// Runs where the operation's handlers run, once; counted in `pending_`.
class io_operation::request {
 public:
  explicit request(io_operation& operation) noexcept : operation_(&operation) {}
  request(request&& other) noexcept : operation_(std::exchange(other.operation_, nullptr)) {}
  request& operator=(request&&) = delete;
  ~request() {
    if (operation_) operation_->release();
  }

  using allocator_type = request_allocator<void>;
  allocator_type get_allocator() const noexcept { return allocator_type(*operation_); }

  void operator()() noexcept {
    operation_->cancel_now();
    std::exchange(operation_, nullptr)->release();
  }

 private:
  io_operation* operation_;
};

template <class Executor>
void io_operation::send_through(io_operation& self) {
  boost::asio::post(*static_cast<const Executor*>(self.executor_), request(self));
}

// The executor of the I/O object, if the initiation tells it. A copy: the object may be destroyed while its operation
// is under way.
template <class Initiation>
auto executor_of(const Initiation& initiation) {
  if constexpr (requires { initiation.get_executor(); })
    return initiation.get_executor();
  else
    return std::monostate();
}

template <class... Args>
using io_results = std::optional<std::tuple<std::decay_t<Args>...>>;

// The completion handler. Whatever happens to it, it takes its count back exactly once.
template <class... Args>
class process_handler {
 public:
  process_handler(io_operation& operation, io_results<Args...>& results) noexcept
      : operation_(&operation), results_(&results) {}
  process_handler(process_handler&& other) noexcept
      : operation_(std::exchange(other.operation_, nullptr)), results_(other.results_) {}
  process_handler& operator=(process_handler&&) = delete;
  ~process_handler() {
    if (operation_) operation_->dropped();
  }

  using cancellation_slot_type = boost::asio::cancellation_slot;
  cancellation_slot_type get_cancellation_slot() const noexcept {
    return operation_ ? operation_->slot() : cancellation_slot_type();
  }

  void operator()(Args... args) {
    io_operation* operation = std::exchange(operation_, nullptr);
    try {
      results_->emplace(std::forward<Args>(args)...);
    } catch (...) {
      operation->failed(std::current_exception());
    }
    operation->completed();
  }

 private:
  io_operation* operation_;
  io_results<Args...>* results_;
};

// What an operation with these arguments returns: nothing, the one value, or a tuple of them; `errors` of them lead.
template <class... Values>
struct io_value {
  using type = std::tuple<Values...>;
};
template <>
struct io_value<> {
  using type = void;
};
template <class One>
struct io_value<One> {
  using type = One;
};

template <class... Args>
struct io_outcome {
  using type = typename io_value<Args...>::type;
  static constexpr std::size_t errors = 0;
};
template <class First, class... Rest>
  requires(std::is_same_v<First, boost::system::error_code> || std::is_same_v<First, std::exception_ptr>)
struct io_outcome<First, Rest...> {
  using type = typename io_value<Rest...>::type;
  static constexpr std::size_t errors = 1;
};

// as_tuple hides the error in a tuple.
template <class Value>
void judge_tuple(const io_operation&, Value&) noexcept {}
template <class... Rest>
void judge_tuple(const io_operation& operation, std::tuple<boost::system::error_code, Rest...>& value) noexcept {
  operation.judge(std::get<0>(value));
}

template <std::size_t Errors, class Result, class... All>
Result take_io_value([[maybe_unused]] std::tuple<All...>& all) {
  constexpr std::size_t count = sizeof...(All) - Errors;
  if constexpr (count == 1)
    return std::get<Errors>(std::move(all));
  else if constexpr (count > 1)
    return [&]<std::size_t... I>(std::index_sequence<I...>) {
      return Result(std::get<Errors + I>(std::move(all))...);
    }(std::make_index_sequence<count>());
}

}  // namespace otp::detail

template <class R, class... Args>
class boost::asio::async_result<otp::use_process_t, R(Args...)> {
  using outcome = otp::detail::io_outcome<std::decay_t<Args>...>;

 public:
  using return_type = typename outcome::type;

  template <class Initiation, class... InitArgs>
  static return_type initiate(Initiation&& initiation, otp::use_process_t token, InitArgs&&... args) {
    otp::detail::io_results<Args...> results;
    const auto executor = otp::detail::executor_of(initiation);
    otp::detail::io_operation operation(token, executor);
    // A variable: if copying an argument throws, the operation has a handler that is dropped all the same.
    otp::detail::process_handler<Args...> handler(operation, results);
    std::forward<Initiation>(initiation)(std::move(handler), std::forward<InitArgs>(args)...);
    operation.wait();
    if constexpr (outcome::errors > 0)
      operation.settle(std::get<0>(*results));
    else if constexpr (sizeof...(Args) == 1)
      otp::detail::judge_tuple(operation, std::get<0>(*results));
    return otp::detail::take_io_value<outcome::errors, return_type>(*results);
  }
};
