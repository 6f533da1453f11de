#include <otp/partition_supervisor.hpp>

#include "behaviours/partition_routes.hpp"
#include "behaviours/supervisor_report.hpp"
#include "behaviours/supervisor_request.hpp"

#include <algorithm>

namespace otp {

namespace detail {

std::uint64_t route_of(const term& key) {
  if (const auto* routed = key.get_if<partition_key>()) return routed->route;
  if (auto number = key.absolute()) return *number;
  if (const auto* id = key.get_if<child_id>()) return route_of(id->value());
  if (const auto* number = key.get_if<double>()) return partition_route(*number);
  if (const auto* number = key.get_if<float>()) return partition_route(*number);
  return term_hash(key);
}

namespace {

constexpr std::string_view partition_type = "partition_supervisor";

class partition_registry final : public name_registry {
 public:
  explicit partition_registry(supervisor_ref who) : who_(std::move(who)) {}
  bool register_name(const term&, pid) override {
    throw bad_argument(to_string() + ": a partition cannot be given to a process; it belongs to its supervisor");
  }
  void unregister_name(const term&) override {}
  std::optional<pid> whereis_name(const term& key) const override {
    auto supervisor = who_.find();
    if (!supervisor) return std::nullopt;
    auto routes = partition_directory::here().find(*supervisor);
    if (!routes) return std::nullopt;
    std::size_t count = routes->count.load();
    if (count == 0)
      throw bad_argument(to_string() + ": there are zero partitions; partition_supervisor::resize makes more");
    std::uint64_t process = routes->processes[route_of(key) % count].load();
    if (process == 0) return std::nullopt;
    return pid(process);
  }
  std::string to_string() const override { return "partitions of " + who_.to_string(); }

 private:
  supervisor_ref who_;
};

}  // namespace

}  // namespace detail

using namespace detail;

result<server<partition_supervisor>> partition_supervisor::start_link(partition_supervisor_spec spec,
                                                                      start_options options) {
  std::vector<std::string> faults;
  if (options.name.empty())
    faults.emplace_back("name is missing; write start_link(spec, {.name = \"name\"}), keys are looked up through it");
  if (!spec.child) faults.emplace_back("child is missing; write .child = otp::child<T>(args...), or a function of int");
  int partitions = spec.partitions.value_or(static_cast<int>(worker_count()));
  if (partitions < 1)
    faults.push_back("partitions is " + integer_text(partitions) + "; write 1 or more, or leave it out");
  if (spec.strategy == strategy::simple_one_for_one)
    faults.emplace_back(
        "strategy is simple_one_for_one; write otp::one_for_one, otp::rest_for_one or otp::one_for_all");
  if (!faults.empty())
    return std::unexpected(exit_reason(exit_reason::kind::bad_argument, "supervisor_data: " + joined(faults)));
  supervisor_plan plan;
  plan.what = supervisor_plan::kind::partition;
  plan.strategy = spec.strategy;
  plan.max_restarts = spec.max_restarts;
  plan.max_seconds = spec.max_seconds;
  for (int i = 0; i < partitions; ++i) plan.children.push_back(spec.child(i).id(i));
  auto made = start_supervisor(std::move(plan), partition_type, std::move(options));
  if (!made) return std::unexpected(std::move(made.error()));
  return server<partition_supervisor>(*made);
}

int partition_supervisor::partitions(const supervisor_ref& who) {
  auto answer = ask(who, "partitions", request_to(supervisor_op::partitions));
  if (answer.failed) throw bad_argument(std::string(answer.failure.text()));
  return static_cast<int>(answer.number);
}

result<int> partition_supervisor::resize(const supervisor_ref& who, int partitions) {
  auto r = request_to(supervisor_op::resize);
  r->number = partitions;
  auto answer = ask(who, "resize", std::move(r));
  if (answer.failed) return std::unexpected(std::move(answer.failure));
  return static_cast<int>(answer.number);
}

std::shared_ptr<name_registry> partitions(supervisor_ref who) {
  return std::make_shared<partition_registry>(std::move(who));
}

child_spec child_partition_supervisor(start_options options, partition_supervisor_spec spec) {
  child_spec made;
  if (!options.name.empty()) made.id(options.name.id());
  made.type(child_type::supervisor).modules({"otp::partition_supervisor"});
  made.start([spec = std::move(spec), options = std::move(options)] {
    return partition_supervisor::start_link(spec, options);
  });
  return made;
}

}  // namespace otp
