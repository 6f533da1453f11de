// The life of a task's process, and of one that waits for its task.
#include <otp/detail/task_core.hpp>
#include <otp/event.hpp>

namespace otp::detail {

task_origin task_origin::of_caller() {
  process_body* b = body_of_caller();
  return {self(), b ? b->callers() : nullptr};
}

std::shared_ptr<const std::vector<pid>> task_core::callers() const {
  auto all = std::make_shared<std::vector<pid>>();
  all->push_back(origin_.owner);
  if (origin_.callers) all->insert(all->end(), origin_.callers->begin(), origin_.callers->end());
  return all;
}

bool task_core::start() {
  perform();
  return false;
}

void task_core::perform() {
  struct answer {
    envelope* result = nullptr;
    ~answer() noexcept(false) {
      if (result) destroy(result);
    }
  } made;
  auto failed = guard([&] { made.result = call(); });
  if (being_ended()) return;  // the exit signal decides
  if (failed) {
    report_failure(*failed);
    return end_with(std::move(*failed));
  }
  if (made.result) send_result(reply_, std::exchange(made.result, nullptr));
}

void task_core::report_failure(const exit_reason& why) const {
  if (why.is_expected() || !event_wanted("task_terminated")) return;
  std::string args;
  if (guard([&] { args = arguments(); })) args = "to_string() failed";
  if (being_ended()) return;
  event e{.what = "task_terminated",
          .severity = severity::error,
          .process = self(),
          .name = describe(self()),
          .reason = why,
          .fields = {{"started_from", origin_.owner ? describe(origin_.owner) : "outside of the runtime"},
                     {"function", std::string(type())},
                     {"args", std::move(args)}}};
  if (auto label = otp::label(self())) e.fields.emplace_back("label", *label);
  std::string chain;
  auto all = callers();
  for (pid caller : *all) chain += (chain.empty() ? "" : ", ") + caller.to_string();
  e.fields.emplace_back("callers", std::move(chain));
  report(std::move(e));
}

}  // namespace otp::detail
