// A supervisor that starts with no children and is given them one by one, in any number.
//
// Shape   start_child takes a full spec whose id does not matter; children are addressed by pid. Only one_for_one; when
//         the supervisor ends it asks all children to stop at once and waits for them together.
// Units   max_children counts children that run or are being restarted.
// Errors  as supervisor's; start_child also max_children, and ignore for a child that declines to start.
// Source  Elixir's DynamicSupervisor.
#pragma once
#include <otp/supervisor.hpp>

namespace otp {

inline constexpr std::int64_t unlimited = INT64_MAX;

struct dynamic_supervisor_spec {
  otp::strategy strategy = one_for_one;  ///< no other is accepted
  int max_restarts = 3;
  duration max_seconds = std::chrono::seconds(5);
  std::int64_t max_children = unlimited;
  extra_arguments extra{};  ///< come before those of every child_template
};

/// What the init of a dynamic supervisor module may return: a dynamic_supervisor_spec or otp::ignore().
class dynamic_supervisor_init {
 public:
  dynamic_supervisor_init(dynamic_supervisor_spec spec) : spec_(std::move(spec)) {}
  dynamic_supervisor_init(detail::init_refusal refusal) : refusal_(std::move(refusal)) {}
  dynamic_supervisor_spec& spec() noexcept { return spec_; }
  const std::optional<detail::init_refusal>& refusal() const noexcept { return refusal_; }

 private:
  dynamic_supervisor_spec spec_;
  std::optional<detail::init_refusal> refusal_;
};

namespace detail {

supervisor_plan plan_of(dynamic_supervisor_init init);
template <class R>
  requires std::is_same_v<R, dynamic_supervisor_spec> || std::is_same_v<R, dynamic_supervisor_init>
struct supervisor_init_result<R> {
  static constexpr bool is = true;
  static supervisor_plan plan(R init) { return plan_of(dynamic_supervisor_init(std::move(init))); }
};

}  // namespace detail

struct dynamic_supervisor {
  /// Starts a dynamic supervisor, linked to the caller.
  [[nodiscard]] static result<server<dynamic_supervisor>> start_link(dynamic_supervisor_spec spec,
                                                                     start_options options = {});
  [[nodiscard]] static result<server<dynamic_supervisor>> start_link() { return start_link({}, {}); }
  template <class Module, class... Args>
    requires detail::supervisor_module<Module, std::decay_t<Args>...>
  [[nodiscard]] static result<server<Module>> start_link(start_options options = {}, Args&&... args) {
    return detail::start_supervisor_module<Module>(std::move(options), std::forward<Args>(args)...);
  }
  /// Starts a child. Errors: max_children, ignore, bad_argument, stopping, or why the start failed.
  static result<child_started> start_child(const supervisor_ref& who, child_spec spec) {
    return detail::start_child(who, std::move(spec));
  }
  /// Stops a child, also one that is being restarted, by its last process. Errors: not_found; bad_argument is thrown
  /// for an empty pid.
  static result<void> terminate_child(const supervisor_ref& who, pid child);
  static std::vector<child_info> which_children(const supervisor_ref& who) { return detail::which_children(who); }
  static child_counts count_children(const supervisor_ref& who) { return detail::count_children(who); }
  static std::string callback_module(const supervisor_ref& who) { return detail::callback_module(who); }
  static void stop(const supervisor_ref& who, exit_reason why = {}, duration timeout = infinity) {
    detail::stop_supervisor(who, std::move(why), timeout);
  }
};

/// The spec of a dynamic supervisor as a child. Its id is its name, or the key of a registry name, so that several can
/// stand side by side; without a name it is "otp::dynamic_supervisor".
child_spec child_dynamic_supervisor(start_options options = {}, dynamic_supervisor_spec spec = {});

}  // namespace otp
