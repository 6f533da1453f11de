// What is asked of a supervisor, and what it answers: one envelope for all requests.
#pragma once
#include <otp/supervisor.hpp>

namespace otp::detail {

enum class supervisor_op : std::uint8_t {
  start_child,
  terminate_child,
  restart_child,
  delete_child,
  which_children,
  count_children,
  get_child,
  get_childspec,
  callback_module,
  partitions,
  resize,
};

struct supervisor_reply {
  bool failed = false;
  exit_reason failure;
  child_started started;
  std::vector<child_info> children;
  child_counts counts;
  child_spec spec;
  std::string text;
  std::int64_t number = 0;
};

struct supervisor_request final : reply_envelope<supervisor_reply> {
  explicit supervisor_request(supervisor_op what);
  supervisor_op op;
  bool by_extra = false;  // start_child: of the template, with `extra`
  child_spec spec;
  child_id id;
  extra_arguments extra;
  std::int64_t number = 0;
};

extern const server_type supervisor_server_type;

/// Sends it and waits for the answer. Exits the caller if there is none.
supervisor_reply ask(const supervisor_ref& who, const char* function, std::unique_ptr<supervisor_request> request);
inline std::unique_ptr<supervisor_request> request_to(supervisor_op what) {
  return std::make_unique<supervisor_request>(what);
}
inline std::unique_ptr<supervisor_request> request_to(supervisor_op what, const child_id& id) {
  auto r = request_to(what);
  r->id = id;
  return r;
}

}  // namespace otp::detail
