// The children of one supervisor: in start order, found by process and by id, each in constant time.
#pragma once
#include "base/flat_table.hpp"

#include <otp/supervisor.hpp>

namespace otp::detail {

struct child_record {
  enum class state : std::uint8_t {
    undefined,   // no process
    running,     // `process` runs, as far as the supervisor knows
    restarting,  // `process` was its last; another attempt is on its way
    stopping,    // `process` was asked to end, and its end is awaited by `monitor`
  };
  child_record* previous = nullptr;  // start order
  child_record* next = nullptr;
  child_record* same_hash = nullptr;  // ids of equal hash
  std::uint64_t order = 0;            // grows along the list, never reused
  pid process;
  std::uint64_t monitor = 0;
  child_spec spec;
  extra_arguments extra;
  state is = state::undefined;
  bool killed = false;   // while stopping
  bool overdue = false;  // its start was given up: it has had its time, and is killed

  bool is_temporary() const noexcept { return spec.restart() == restart_type::temporary; }
  bool has_process() const noexcept { return is == state::running || is == state::stopping; }
};

class child_table {
 public:
  /// `by_id`: ids are unique and looked up.
  explicit child_table(bool by_id) noexcept : by_id_(by_id) {}
  child_table(const child_table&) = delete;
  child_table& operator=(const child_table&) = delete;
  ~child_table();

  child_record& append(child_spec spec, extra_arguments extra = {});
  void remove(child_record& c) noexcept;
  child_record* find(const child_id& id) const noexcept;
  child_record* find(pid process) const noexcept;
  /// The child has a new process, under which it is found from now on; none: it is found under none.
  void set_process(child_record& c, pid process);

  child_record* first() const noexcept { return first_; }
  child_record* last() const noexcept { return last_; }
  std::size_t size() const noexcept { return size_; }

 private:
  void forget_process(child_record& c) noexcept;

  child_record* first_ = nullptr;
  child_record* last_ = nullptr;
  std::size_t size_ = 0;
  std::uint64_t orders_ = 0;
  bool by_id_;
  flat_table<std::uint64_t, child_record*> processes_;
  flat_table<std::uint64_t, child_record*> ids_;  // hash -> first of a chain
};

}  // namespace otp::detail
