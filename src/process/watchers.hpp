// Who monitors a process: the first in its control block, since most have one, the others in a table. The owner's, and
// its visitors' (process.hpp, rule 4). What is kept is the down message that will go to the watcher.
#pragma once
#include "process/control.hpp"
#include "process/process.hpp"

#include <utility>

namespace otp::detail {

inline std::pair<std::uint64_t, std::uint64_t> key_of(ref monitor) noexcept {
  return {monitor.owner().value(), monitor.number()};
}

inline down_envelope* first_watcher(const process& p) noexcept { return static_cast<down_envelope*>(p.watcher0); }

/// Takes the message over. Throws std::bad_alloc, without having done so.
inline void add_watcher(process& p, down_envelope* e) {
  if (!p.watcher0)
    p.watcher0 = e;
  else
    p.more().monitored_by.insert(key_of(e->value.reference), e);
}

/// The message of a monitor that is gone, to be destroyed; null if there is none.
inline envelope* take_watcher(process& p, ref monitor) noexcept {
  if (down_envelope* first = first_watcher(p); first && first->value.reference == monitor)
    return std::exchange(p.watcher0, nullptr);
  envelope** kept = p.extra ? p.extra->monitored_by.find(key_of(monitor)) : nullptr;
  if (!kept) return nullptr;
  envelope* found = *kept;
  p.extra->monitored_by.erase(key_of(monitor));
  return found;
}

inline bool is_watched(const process& p, ref monitor) noexcept {
  return (p.watcher0 && first_watcher(p)->value.reference == monitor) ||
         (p.extra && p.extra->monitored_by.find(key_of(monitor)));
}

template <class F>
void each_watcher(const process& p, F&& f) {
  if (p.watcher0) f(*first_watcher(p));
  if (!p.extra) return;
  for (auto& [key, kept] : p.extra->monitored_by) f(*static_cast<down_envelope*>(kept));
}

/// All of them leave the process; `f` takes each message over.
template <class F>
void release_watchers(process& p, F&& f) {
  if (p.watcher0) f(static_cast<down_envelope*>(std::exchange(p.watcher0, nullptr)));
  if (!p.extra) return;
  for (auto& [key, kept] : p.extra->monitored_by) f(static_cast<down_envelope*>(kept));
  p.extra->monitored_by.reset();
}

}  // namespace otp::detail
