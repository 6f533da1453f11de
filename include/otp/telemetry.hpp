// Telemetry: what happens in a program as named events with numbers, for whoever counts and times it.
//
// Shape   code executes events; handlers attached to their names run right there, in the executing process. An event is
//         a dotted name ("shop.order.stop"), measurements (numbers) and metadata (texts). Per runtime. While nobody is
//         attached an event costs a load and a branch, and its texts are not made.
// Units   durations are measured by the runtime's clock, in nanoseconds, as a measurement named "duration".
// Errors  a handler that throws is detached, reported once as `telemetry_handler_failed`, and told to the others by the
//         event "telemetry.handler.failure". Who executes an event never sees a handler fail.
// Source  the BEAM's telemetry library. Differs: a handler is attached to a prefix of names, not to each name.
#pragma once
#include <otp/call.hpp>
#include <otp/timer.hpp>

#include <initializer_list>

namespace otp::telemetry {

struct measurement {
  std::string_view name;
  std::int64_t value;
};
struct metadata {
  std::string_view name;
  std::string value;
};

/// An event, as a handler sees it: valid during the call.
class occurrence {
 public:
  occurrence(std::string_view name, const measurement* measured, std::size_t count, const metadata* known,
             std::size_t known_count) noexcept
      : name_(name), measured_(measured), measured_count_(count), known_(known), known_count_(known_count) {}
  std::string_view name() const noexcept { return name_; }
  /// The number of this name; none if there is none.
  std::optional<std::int64_t> value(std::string_view name) const noexcept {
    for (const measurement& m : *this)
      if (m.name == name) return m.value;
    return std::nullopt;
  }
  /// The text of this name; empty if there is none.
  std::string_view text(std::string_view name) const noexcept {
    for (std::size_t i = 0; i < known_count_; ++i)
      if (known_[i].name == name) return known_[i].value;
    return {};
  }
  const measurement* begin() const noexcept { return measured_; }
  const measurement* end() const noexcept { return measured_ + measured_count_; }

 private:
  std::string_view name_;
  const measurement* measured_;
  std::size_t measured_count_;
  const metadata* known_;
  std::size_t known_count_;
};

/// What runs for an event: in several processes at a time.
struct handler {
  virtual ~handler() = default;
  virtual void handle(const occurrence& what) = 0;
};

struct attachment {
  std::string id;
  std::string prefix;
};

namespace detail {
bool attach(std::string id, std::string prefix, std::shared_ptr<handler> run);
void execute(const occurrence& what);
template <class F>
struct typed_handler final : handler {
  explicit typed_handler(F f) : function(std::move(f)) {}
  void handle(const occurrence& what) override { function(what); }
  F function;
};
}  // namespace detail

/// Calls `run(occurrence)` for every event whose name is `prefix` or begins with it and a dot; an empty one is all.
/// False if there is a handler of this id.
template <class F>
  requires std::invocable<std::decay_t<F>&, const occurrence&>
bool attach(std::string id, std::string prefix, F&& run) {
  return detail::attach(std::move(id), std::move(prefix),
                        std::make_shared<detail::typed_handler<std::decay_t<F>>>(std::forward<F>(run)));
}
/// False if there is none. One that is running may run to its end.
bool detach(std::string_view id);
/// Those that see at least one event below `prefix`.
std::vector<attachment> handlers(std::string_view prefix = {});
/// Whether anybody sees this event: ask before metadata that is dear to make.
bool attached(std::string_view name) noexcept;

/// Something happened.
inline void execute(std::string_view name, std::initializer_list<measurement> measured,
                    std::initializer_list<metadata> known = {}) {
  if (attached(name)) detail::execute({name, measured.begin(), measured.size(), known.begin(), known.size()});
}
/// The same; the metadata is made only if somebody sees it.
template <class MakeMetadata>
  requires std::convertible_to<std::invoke_result_t<MakeMetadata&>, std::vector<metadata>>
void execute(std::string_view name, std::initializer_list<measurement> measured, MakeMetadata&& make) {
  if (!attached(name)) return;
  std::vector<metadata> known = make();
  detail::execute({name, measured.begin(), measured.size(), known.data(), known.size()});
}

namespace detail {

/// Begun when somebody sees the prefix; says how it ends.
class open_span {
 public:
  open_span(std::string_view prefix, std::vector<metadata> known);
  ~open_span();
  open_span(const open_span&) = delete;
  open_span& operator=(const open_span&) = delete;
  void stopped() noexcept { ended_ = true; }

 private:
  std::string prefix_;
  std::vector<metadata> known_;
  instant began_;
  int exceptions_;
  bool ended_ = false;
};

}  // namespace detail

/// Runs `work` and tells how long it took: `prefix`.start with "system_time" (by the runtime's clock), then
/// `prefix`.stop or, if it threw, `prefix`.exception with "duration". The metadata goes with all of them, and
/// "span" tells which belong together; `make` is called only if somebody is attached.
template <class MakeMetadata, class F>
  requires std::convertible_to<std::invoke_result_t<MakeMetadata&>, std::vector<metadata>>
decltype(auto) span(std::string_view prefix, MakeMetadata&& make, F&& work) {
  if (!attached(prefix)) [[likely]]
    return std::forward<F>(work)();
  detail::open_span open(prefix, make());
  if constexpr (std::is_void_v<std::invoke_result_t<F>>) {
    std::forward<F>(work)();
    open.stopped();
  } else {
    decltype(auto) result = std::forward<F>(work)();
    open.stopped();
    return static_cast<std::invoke_result_t<F>>(std::forward<decltype(result)>(result));
  }
}
template <class F>
decltype(auto) span(std::string_view prefix, F&& work) {
  return span(prefix, [] { return std::vector<metadata>(); }, std::forward<F>(work));
}

/// otp::call in a span "otp.call", with the server and the request as metadata.
template <otp::detail::server_address Address, class Request>
auto call(const Address& to, Request&& request, duration timeout = call_timeout)
    -> decltype(otp::call(to, std::forward<Request>(request), timeout)) {
  return span(
      "otp.call",
      [&] {
        return std::vector<metadata>{{"server", otp::detail::address_of<Address>::text(to)},
                                     {"request", std::string(otp::detail::type_name<std::decay_t<Request>>)}};
      },
      [&]() -> decltype(auto) { return otp::call(to, std::forward<Request>(request), timeout); });
}

// ---- the runtime's own numbers -----------------------------------------------------------------------------------

enum class metric_kind : std::uint8_t { counter, gauge };
struct metric {
  std::string_view name;  ///< "otp_messages_sent_total": as Prometheus and OpenTelemetry want them
  std::string_view help;
  metric_kind kind;
  std::uint64_t value;
};
/// The counters and gauges of the caller's runtime.
std::vector<metric> runtime_metrics();

}  // namespace otp::telemetry
