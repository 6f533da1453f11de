// A function over a sequence, one task for each element, so many at a time: results as a range.
//
// Shape   consumer --element--> task; consumer <--result-- task, as the loop asks for it. Nothing is started and no
//         element is read before begin(). The process that calls begin() is the consumer. What is ready is given to
//         it first; when it asks for more, tasks are started in the places of those that have ended. A stream that is
//         destroyed early kills its tasks and waits for their end.
// Units   timeout counts for each task, from its start.
// Errors  bad_argument for nonsense options, when the stream is built. A task that fails takes the consumer with it, as
//         linked tasks do, unless the consumer trapped exits when it began, or the stream is a nolink one: then the
//         result is the reason. A task over its time exits the consumer with {timeout, async_stream}, or is killed.
// Source  Task.async_stream and Task.Supervisor.async_stream_nolink. Differs: a slot is refilled when the process of
//         the finished task is gone, and a consumer that ends takes all its tasks with it
//         (docs/decisions/0008-tasks.md).
#pragma once
#include <otp/task_supervisor.hpp>

#include <iterator>

namespace otp {

/// What happens when a task of a stream takes too long.
enum class on_timeout : std::uint8_t {
  exit,       ///< the consumer exits with {timeout, async_stream}
  kill_task,  ///< the task is killed, and its result is `timeout`
};

struct stream_options {
  std::optional<int> max_concurrency{};  ///< tasks at a time; none: as many as the runtime has workers
  duration timeout = call_timeout;       ///< of each task; 0 or more, or infinity
  otp::on_timeout on_timeout = on_timeout::exit;
  bool ordered = true;             ///< results in the order of the elements; otherwise as the tasks end
  bool zip_input_on_exit = false;  ///< a result without a value has the element with it
  shutdown_time shutdown = std::chrono::seconds(5);  ///< of supervised tasks, when their supervisor stops
};

/// The result for one element: its value, or why its task ended.
template <class R, class Element>
struct stream_result : result<R> {
  using result<R>::result;
  std::optional<Element> input{};  ///< with zip_input_on_exit, where there is no value
};

// What the compiler names in its first error when a stream cannot be made.
template <class Range>
struct not_a_range;  // a stream takes something with begin() and end()

namespace detail {

/// What a stream and its tasks share.
struct stream_link {
  pid consumer;
  bool linked = false;            // a failing task takes the consumer with it
  std::atomic<bool> over{false};  // the consumer kills them itself
};

/// What a task and its consumer share.
struct stream_slot_base {
  enum class end : std::uint8_t { unknown, by_itself, overdue };
  std::atomic<bool> ready{false};            // release: the value may be read by the consumer
  std::atomic<end> how_ended{end::unknown};  // unknown: it has not got its task yet
};

class stream_task : public task_core {
 public:
  void join(std::shared_ptr<stream_link> link, std::shared_ptr<stream_slot_base> slot, instant deadline) {
    link_ = std::move(link);
    base_ = std::move(slot);
    deadline_ = deadline;
  }
  void ended(const exit_reason& why) noexcept override;
  void given_up(const exit_reason& why) noexcept override;

 private:
  void note_end(const exit_reason& why) noexcept;
  std::shared_ptr<stream_link> link_;
  std::shared_ptr<stream_slot_base> base_;
  instant deadline_{};
};

/// The untyped half of a stream. Its process's.
class stream_core {
 public:
  /// Throws bad_argument for options that mean nothing.
  stream_core(const stream_options& how, std::optional<supervisor_ref> supervisor, bool linked, const char* function,
              bool keeps_input);
  stream_core(const stream_core&) = delete;
  stream_core& operator=(const stream_core&) = delete;
  ~stream_core() noexcept(false);

  struct entry {
    std::shared_ptr<stream_slot_base> slot;  // element and value
    pid process;
    ref watch;
    ref timer;
    instant deadline{};
    bool ended = false;    // its `down` was taken
    bool done = false;     // and was looked at: its place is free
    bool overdue = false;  // ended by its timer
    exit_reason why;
  };
  const stream_options& options() const noexcept { return how_; }
  void begin();
  bool begun() const noexcept { return link_ != nullptr; }
  void require_consumer() const;
  bool has_room() const noexcept { return running_ < limit_; }
  void add(std::unique_ptr<stream_task> task, std::shared_ptr<stream_slot_base> slot);
  /// Whether there is nothing to wait for.
  bool idle() const noexcept { return how_.ordered ? first_ == entries_.size() : running_ == 0; }
  /// The next result, if it is there.
  std::optional<entry> take();
  /// Waits until a task has ended. Its place is free then, also if others have ended that are not looked at yet.
  void wait();
  /// Kills what runs and waits for its end.
  void stop();
  exited timed_out() const;

 private:
  void note_end(entry& e, const exit_reason& why);
  void collect_ends();
  stream_options how_;
  std::optional<supervisor_ref> supervisor_;
  bool linked_;
  const char* function_;
  const std::string_view* task_name_ = nullptr;
  std::shared_ptr<stream_link> link_;
  std::size_t limit_ = 0;
  std::size_t running_ = 0;
  std::vector<entry> entries_;  // in order of the elements, from first_ on; unordered: those taken have no slot
  std::size_t first_ = 0;
  std::optional<std::size_t> ready_;  // unordered: where the one is that is done
  std::vector<std::size_t> arrived_;  // where those are that ended and are not done, the next one last
};

template <class R, class Element>
struct stream_slot : stream_slot_base {
  template <class E>
  explicit stream_slot(E&& e) : element(std::forward<E>(e)) {}
  Element element;
  std::optional<R> value{};
};

template <class F, class Element>
constexpr bool stream_keeps_input = calls_const<const F, Element> && std::is_copy_constructible_v<Element>;

template <class R, class F, class Element>
class stream_call final : public stream_task {
 public:
  using slot = stream_slot<R, Element>;
  stream_call(std::shared_ptr<slot> s, std::shared_ptr<const F> f) : slot_(std::move(s)), function_(std::move(f)) {}
  const std::string_view& type() const noexcept override { return task_name<F>; }

 private:
  envelope* call() override {
    auto of = std::exchange(function_, nullptr);
    if constexpr (std::is_void_v<decltype(call_task(*of, slot_->element))>) {
      call_task(*of, slot_->element);
      slot_->value.emplace();
    } else {
      slot_->value.emplace(call_task(*of, slot_->element));
    }
    slot_->ready.store(true, std::memory_order_release);
    return nullptr;
  }
  std::string arguments() const override { return text_of(slot_->element); }

  std::shared_ptr<slot> slot_;
  std::shared_ptr<const F> function_;
};

template <class Range>
concept stream_source = requires(std::remove_reference_t<Range>& r) {
  std::begin(r) != std::end(r);
  *std::begin(r);
};
template <class Range>
using element_of = std::decay_t<decltype(*std::begin(std::declval<std::remove_reference_t<Range>&>()))>;

template <class Range, class F>
constexpr auto judge_stream() {
  if constexpr (!stream_source<Range>)
    return std::type_identity<not_a_range<std::remove_cvref_t<Range>>>();
  else
    return judge_task<const std::decay_t<F>, element_of<Range>>();
}
template <class Range, class F>
using stream_problem = typename decltype(judge_stream<Range, F>())::type;
template <class Range, class F>
concept streams_over = std::is_same_v<stream_problem<Range, F>, fine>;

}  // namespace detail

/// The results. A range to be gone through once, by the process that begins; an lvalue sequence has to outlive it, an
/// rvalue is kept. The function is called as const, by all tasks.
template <class Range, class F>
class [[nodiscard]] async_stream_of {
  struct state;

 public:
  using element_type = detail::element_of<Range>;
  using value_of = detail::reply_value<detail::task_return<const F, element_type>>;
  using value_type = stream_result<value_of, element_type>;

  template <class G>
  async_stream_of(Range&& source, G&& function, const stream_options& how, std::optional<supervisor_ref> supervisor,
                  bool linked, const char* name)
      : state_(std::make_unique<state>(std::forward<Range>(source), std::forward<G>(function), how,
                                       std::move(supervisor), linked, name)) {}

  class iterator {
   public:
    using iterator_concept = std::input_iterator_tag;
    using iterator_category = std::input_iterator_tag;
    using value_type = async_stream_of::value_type;
    using difference_type = std::ptrdiff_t;
    using reference = value_type&;
    using pointer = value_type*;

    value_type& operator*() const { return *of_->current; }
    value_type* operator->() const { return &*of_->current; }
    iterator& operator++() {
      of_->advance();
      return *this;
    }
    void operator++(int) { of_->advance(); }
    friend bool operator==(const iterator& i, std::default_sentinel_t) { return !i.of_->current; }

   private:
    friend class async_stream_of;
    state* of_ = nullptr;
  };

  /// Starts the first tasks and waits for the first result. A stream that has begun goes on where it was.
  iterator begin() {
    if (!state_->core.begun()) {
      state_->core.begin();
      state_->advance();
    }
    iterator i;
    i.of_ = state_.get();
    return i;
  }
  std::default_sentinel_t end() const noexcept { return {}; }

 private:
  using slot = detail::stream_slot<value_of, element_type>;
  using source_iterator = decltype(std::begin(std::declval<std::remove_reference_t<Range>&>()));

  struct state {
    template <class G>
    state(Range&& s, G&& f, const stream_options& how, std::optional<supervisor_ref> supervisor, bool linked,
          const char* name)
        : source(std::forward<Range>(s)),
          function(std::make_shared<const F>(std::forward<G>(f))),
          core(how, std::move(supervisor), linked, name, detail::stream_keeps_input<F, element_type>) {
      detail::refuse_empty_task(*function);
    }

    void start_next() {
      if (!at)
        at.emplace(std::begin(source));
      else
        ++*at;
      if (!(*at != std::end(source))) {
        exhausted = true;
        return;
      }
      std::shared_ptr<slot> made;
      if constexpr (std::is_lvalue_reference_v<Range>)
        made = std::make_shared<slot>(**at);
      else
        made = std::make_shared<slot>(static_cast<std::remove_reference_t<decltype(**at)>&&>(**at));
      auto task = std::make_unique<detail::stream_call<value_of, F, element_type>>(made, function);
      core.add(std::move(task), std::move(made));
    }
    void advance() {
      core.require_consumer();
      current.reset();
      for (;;) {
        if (auto ended = core.take()) return produce(*ended);
        while (!exhausted && core.has_room()) start_next();
        if (core.idle()) return;
        core.wait();
      }
    }
    void produce(typename detail::stream_core::entry& e) {
      auto& s = static_cast<slot&>(*e.slot);
      if (e.overdue) {
        if (core.options().on_timeout == on_timeout::exit) {
          auto why = core.timed_out();
          core.stop();
          throw why;
        }
        current.emplace(std::unexpect, exit_reason(reason::timeout));
      } else if (e.why.is_normal() && s.ready.load(std::memory_order_acquire)) {
        current.emplace(std::in_place, std::move(*s.value));
        return;
      } else {
        current.emplace(std::unexpect, std::move(e.why));
      }
      if constexpr (detail::stream_keeps_input<F, element_type>)
        if (core.options().zip_input_on_exit) current->input.emplace(std::as_const(s.element));
    }

    Range source;  // destroyed last
    std::shared_ptr<const F> function;
    std::optional<source_iterator> at;
    bool exhausted = false;
    std::optional<value_type> current;
    detail::stream_core core;
  };
  std::unique_ptr<state> state_;
};

/// The results of `function(element)` for each element, from tasks linked to the consumer.
template <class Range, class F>
  requires detail::streams_over<Range, F>
async_stream_of<Range, std::decay_t<F>> async_stream(Range&& source, F&& function, const stream_options& how = {}) {
  return {std::forward<Range>(source), std::forward<F>(function), how, std::nullopt, true, "async_stream"};
}
/// The same from children of a task supervisor.
template <class Address, class Range, class F>
  requires detail::is_task_supervisor<Address> && detail::streams_over<Range, F>
async_stream_of<Range, std::decay_t<F>> async_stream(const Address& supervisor, Range&& source, F&& function,
                                                     const stream_options& how = {}) {
  return {
      std::forward<Range>(source), std::forward<F>(function), how, supervisor_ref(supervisor), true, "async_stream"};
}
/// The same, not linked: whatever becomes of a task, its result says so.
template <class Address, class Range, class F>
  requires detail::is_task_supervisor<Address> && detail::streams_over<Range, F>
async_stream_of<Range, std::decay_t<F>> async_stream_nolink(const Address& supervisor, Range&& source, F&& function,
                                                            const stream_options& how = {}) {
  return {std::forward<Range>(source), std::forward<F>(function), how, supervisor_ref(supervisor), false,
          "async_stream_nolink"};
}

template <class Range, class F>
  requires(!detail::is_task_supervisor<std::decay_t<Range>> && !detail::streams_over<Range, F>)
detail::stream_problem<Range, F> async_stream(Range&&, F&&, const stream_options& = {});
template <class Address, class Range, class F>
  requires(detail::is_task_supervisor<Address> && !detail::streams_over<Range, F>)
detail::stream_problem<Range, F> async_stream(const Address&, Range&&, F&&, const stream_options& = {});
template <class Address, class Range, class F>
  requires(detail::is_task_supervisor<Address> && !detail::streams_over<Range, F>)
detail::stream_problem<Range, F> async_stream_nolink(const Address&, Range&&, F&&, const stream_options& = {});

}  // namespace otp
