// What most processes never have, and some have for a moment only: a worker keeps a few of the dead ones' for the next.
#include "process/runtime_core.hpp"

#include <utility>

namespace otp::detail {

namespace {

constexpr unsigned spares_max = 64;
constexpr bool keeps = !with_address_sanitizer && !with_thread_sanitizer;  // they are to see every use of a dead one's

worker_local* local() noexcept {
  worker* w = scheduler::current();
  return keeps && w ? static_cast<worker_local*>(w->local) : nullptr;
}

}  // namespace

process_extra* make_extra() {
  worker_local* mine = local();
  if (!mine || !mine->spare_extras) return new process_extra;
  process_extra* extra = mine->spare_extras;
  mine->spare_extras = std::exchange(extra->next_spare, nullptr);
  --mine->spare_extra_count;
  return extra;
}

void free_extra(process_extra* extra) noexcept {
  worker_local* mine = local();
  // One whose other parts were used is not worth the cleaning.
  if (!mine || mine->spare_extra_count >= spares_max || extra->waits || extra->watch || !extra->label.empty() ||
      extra->dictionary.capacity() != 0) {
    delete extra;
    return;
  }
  extra->links.reset();
  extra->monitors.reset();
  extra->monitored_by.reset();
  extra->timers.reset();
  extra->results.reset();
  extra->last_timer = 0;
  extra->last_timer_at = -1;
  extra->timers_on = 0;
  extra->group_leader = {};
  extra->own_stack_size = 0;
  extra->next_spare = mine->spare_extras;
  mine->spare_extras = extra;
  ++mine->spare_extra_count;
}

void free_spare_extras(worker_local& mine) noexcept {
  while (process_extra* extra = mine.spare_extras) {
    mine.spare_extras = extra->next_spare;
    delete extra;
  }
  mine.spare_extra_count = 0;
}

}  // namespace otp::detail
