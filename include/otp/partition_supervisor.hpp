// A fixed number of equal children, and an address that spreads keys over them.
//
// Shape   `otp::partition<counter>("counters", key)` is an address like any name: call, cast and send find the
//         partition that the key belongs to at that moment. Looking up asks no process.
// Units   as many partitions as the runtime has workers, unless told. A whole number or an enum goes to |key| modulo
//         the number of partitions, also in a term or a child_id; any other key by its hash.
// Errors  start_link: bad_argument that lists every fault. A call to a partition of a supervisor that is not there
//         exits with noproc; an address while there are zero partitions throws bad_argument.
// Source  Elixir's PartitionSupervisor. Differs: the children are a spec, or a function from partition number to spec.
#pragma once
#include <otp/supervisor.hpp>

namespace otp {

/// What the partitions run: one spec for all, or a function from the number of the partition to its spec.
class partition_children {
 public:
  partition_children() = default;
  partition_children(child_spec spec) : make_(std::make_shared<same>(std::move(spec))) {}
  template <class F>
    requires std::is_invocable_r_v<child_spec, const std::decay_t<F>&, int>
  partition_children(F&& function) : make_(std::make_shared<derived<std::decay_t<F>>>(std::forward<F>(function))) {}

  explicit operator bool() const noexcept { return make_ != nullptr; }
  child_spec operator()(int partition) const { return make_->of(partition); }

 private:
  struct maker {
    virtual ~maker() = default;
    virtual child_spec of(int partition) const = 0;
  };
  struct same final : maker {
    explicit same(child_spec s) : spec(std::move(s)) {}
    child_spec of(int) const override { return spec; }
    child_spec spec;
  };
  template <class F>
  struct derived final : maker {
    explicit derived(F&& f) : function(std::move(f)) {}
    explicit derived(const F& f) : function(f) {}
    child_spec of(int partition) const override { return function(partition); }
    F function;
  };
  std::shared_ptr<const maker> make_;
};

struct partition_supervisor_spec {
  partition_children child{};       ///< has to be given
  std::optional<int> partitions{};  ///< none: as many as the runtime has workers
  otp::strategy strategy = one_for_one;
  int max_restarts = 3;
  duration max_seconds = std::chrono::seconds(5);
};

struct partition_supervisor {
  /// Starts it, linked to the caller, with all its partitions. It has to have a name.
  [[nodiscard]] static result<server<partition_supervisor>> start_link(partition_supervisor_spec spec,
                                                                       start_options options);
  /// The number of partitions that keys are spread over.
  static int partitions(const supervisor_ref& who);
  /// Changes that number, from 0 to the one it was started with: partitions beyond it are stopped, or started again.
  /// Returns the number before. Errors: bad_argument, or why a partition did not start.
  static result<int> resize(const supervisor_ref& who, int partitions);
  static std::vector<child_info> which_children(const supervisor_ref& who) { return detail::which_children(who); }
  static child_counts count_children(const supervisor_ref& who) { return detail::count_children(who); }
  static void stop(const supervisor_ref& who, exit_reason why = {}, duration timeout = infinity) {
    detail::stop_supervisor(who, std::move(why), timeout);
  }
};

/// The spec of a partition supervisor as a child. Its id is its name, or the key of a registry name.
child_spec child_partition_supervisor(start_options options, partition_supervisor_spec spec);

namespace detail {

/// A key on its way to a partition: only its number counts.
struct partition_key {
  std::uint64_t route;
  std::string to_string() const { return "partition key " + unsigned_text(route); }
  friend bool operator==(const partition_key&, const partition_key&) = default;
};

/// Where a term goes: where partition() sends the number, enum, text, process or child id that it holds; any other
/// value by its type.
std::uint64_t route_of(const term& key);

template <class Key>
std::uint64_t partition_route(const Key& key) {
  if constexpr (std::is_integral_v<Key> || std::is_enum_v<Key>) {
    return absolute_of(key);
  } else if constexpr (std::is_convertible_v<const Key&, std::string_view>) {
    return text_hash(std::string_view(key));
  } else if constexpr (process_like<const Key&>) {
    return number_hash(otp::pid(key).value());
  } else if constexpr (std::is_same_v<Key, term>) {
    return route_of(key);
  } else if constexpr (std::is_same_v<Key, child_id>) {
    return route_of(key.value());
  } else {
    return number_hash(std::hash<Key>{}(key));  // a key is a number, text, process, enum, or has a std::hash
  }
}

}  // namespace detail

/// The partitions of a supervisor as a registry that can only be looked into: for otp::via.
std::shared_ptr<name_registry> partitions(supervisor_ref who);

/// The partition, a server of type `Server`, that a key belongs to.
template <class Server = void, class Key>
via_name<Server> partition(supervisor_ref who, const Key& key) {
  return {partitions(std::move(who)), term(detail::partition_key{detail::partition_route(key)})};
}

}  // namespace otp
