// Snapshots of agents: how a state is published, and how it is read on every core at once.
//
// Rules
// 1. A cell is what one agent publishes. Under its lock: `current`. The agent sets `current`, then `version`; a reader
//    that finds the version of what it has does not look further. Version 0: the agent is gone, or has not begun.
// 2. Each worker remembers what it has read (`memory`): whose cell is whose, by process or by local name, and a copy of
//    the pointer with a count of references of its own, so that taking and dropping a snapshot writes to no memory that
//    another core reads. A name is believed as long as no name of the runtime has been given up since
//    (names_given_up).
// 3. What a memory remembers changes under its lock. Its worker reads it without: it sets `reading`, and touches a copy
//    only if it then finds the cell's version to be the copy's. An agent that ends sets its version to 0, passes a
//    heavy_barrier, waits until nobody is `reading`, and takes its copies out under the locks: whoever begins to read
//    after the barrier sees the 0 (membarrier.hpp; the same in process.hpp, rule 4).
// 4. Nothing is freed under a lock, or while `reading`: the last owner of an old state is its reader, whose user's
//    destructor runs after.
#include <otp/agent.hpp>

#include "base/flat_table.hpp"
#include "base/isolation.hpp"
#include "process/runtime_core.hpp"

#include <array>
#include <atomic>
#include <mutex>
#include <vector>

namespace otp::detail {

struct snapshot_cell {
  explicit snapshot_cell(const type_record* t) : type(t) {}

  const type_record* const type;
  std::atomic<std::uint64_t> version{0};
  std::mutex lock;
  std::shared_ptr<const void> current;  // guarded by lock
};

namespace {

// What was found under a name or a pid.
struct find {
  pid process;
  std::uint64_t names = 0;  // rule 2
  std::string name;         // empty: asked for by process
  std::shared_ptr<snapshot_cell> cell;
  std::uint64_t version = 0;           // of `copy`
  std::shared_ptr<const void> copy{};  // owns the state by way of a count of its own
};

// One worker's; a name that stands in several places of a program may be remembered in several of its places.
struct alignas(64) memory {
  std::atomic<bool> reading{false};  // rule 3
  std::mutex lock;
  std::array<find, 64> finds;

  find& place_of(const snapshot_source& whose) noexcept {
    const std::uint64_t key =
        whose.name.empty() ? whose.process.value() : reinterpret_cast<std::uintptr_t>(whose.name.data());
    return finds[hash_key(key) % finds.size()];
  }
  // By its worker: a copy of what it has, if nothing has changed.
  bool recall(runtime_core& core, const snapshot_source& whose, const type_record* type,
              std::shared_ptr<const void>& state) noexcept {
    const find& known = place_of(whose);
    if (!known.cell || known.name != whose.name || known.cell->type != type) return false;
    if (known.name.empty() ? known.process != whose.process
                           : known.names != core.names_given_up.load(std::memory_order_acquire))
      return false;
    const process* agent = core.table.find(known.process);
    if (!agent || agent->in.closed()) return false;
    reading.store(true, std::memory_order_relaxed);
    light_barrier();
    const bool same = known.cell->version.load(std::memory_order_acquire) == known.version;  // never 0
    if (same) [[likely]] {
      received(&known.cell->lock);  // what its agent published, and whoever took it for this worker
      state = known.copy;
    }
    reading.store(false, std::memory_order_release);  // to the agent that ends
    return same;
  }
};

class snapshot_directory final : public kept {
 public:
  explicit snapshot_directory(runtime_core& core) : core_(core), of_worker_(worker_places(core)) {}

  void add(pid process, std::shared_ptr<snapshot_cell> cell) {
    ordering_lock lock(lock_);
    cells_.insert(process.value(), std::move(cell));
  }
  void remove(pid process) noexcept {
    std::lock_guard lock(lock_);
    cells_.erase(process.value());
  }
  std::shared_ptr<snapshot_cell> cell_of(pid process) const {
    ordering_lock lock(lock_);
    const auto* found = cells_.find(process.value());
    return found ? *found : nullptr;
  }

  snapshot_outcome read(const snapshot_source& whose, const type_record* type, std::shared_ptr<const void>& state) {
    const std::uint64_t names = names_given_up(core_);
    pid process = whose.process;
    if (!whose.name.empty()) process = whereis_in(core_, whose.name).value_or(pid());
    if (!process || !is_there(core_, process)) return snapshot_outcome::nobody;
    std::shared_ptr<snapshot_cell> cell = cell_of(process);
    if (!cell) return snapshot_outcome::unpublished;
    if (cell->type != type) return snapshot_outcome::wrong_type;
    find fresh{.process = process, .names = names, .name = std::string(whose.name), .cell = std::move(cell)};
    if (!take(fresh)) return snapshot_outcome::nobody;  // it has just gone
    state = fresh.copy;
    memory& mine = of_worker_[worker_place(core_)];
    {
      std::lock_guard lock(mine.lock);
      // One that has ended meanwhile has been here, or will find this.
      if (fresh.cell->version.load() != 0) std::swap(mine.place_of(whose), fresh);
    }
    if (worker* w = scheduler::current(); w && &w->owner == &core_.sched)
      static_cast<worker_local*>(w->local)->snapshots = &mine;
    return snapshot_outcome::found;
  }

  // Its agent ends.
  void forget(const snapshot_cell& cell) noexcept {
    heavy_barrier();
    for (memory& m : of_worker_) {
      while (m.reading.load(std::memory_order_acquire)) scheduler::give_way();
      for (find& f : m.finds) {
        std::shared_ptr<const void> copy;
        std::lock_guard lock(m.lock);
        if (f.cell.get() == &cell) f.copy.swap(copy);
      }
    }
  }

  static snapshot_directory& of(runtime_core& core) {
    static const char key = 0;
    return static_cast<snapshot_directory&>(keep_with_runtime(
        core, &key,
        [](runtime_core& in) -> std::unique_ptr<kept> { return std::make_unique<snapshot_directory>(in); }));
  }

 private:
  // What its cell publishes now; false if that is closed.
  static bool take(find& f) {
    std::shared_ptr<const void> now;
    {
      ordering_lock lock(f.cell->lock);
      now = f.cell->current;
      f.version = f.cell->version.load(std::memory_order_relaxed);
    }
    if (f.version == 0) return false;
    // A count of references that only this worker's readers touch.
    struct keeper {
      std::shared_ptr<const void> held;
      void operator()(const void*) noexcept { held.reset(); }
    };
    const void* value = now.get();
    f.copy = std::shared_ptr<const void>(value, keeper{std::move(now)});
    return true;
  }

  runtime_core& core_;
  mutable std::mutex lock_;
  flat_table<std::uint64_t, std::shared_ptr<snapshot_cell>> cells_;  // by agent; guarded by lock_
  std::vector<memory> of_worker_;
};

}  // namespace

void snapshot_publisher::publish(const type_record* state_type, std::shared_ptr<const void> state) {
  if (!cell_) {
    auto made = std::make_shared<snapshot_cell>(state_type);
    made->current = std::move(state);
    made->version.store(1);
    snapshot_directory::of(this_runtime("snapshot")).add(self(), made);
    cell_ = std::move(made);
    return;
  }
  {
    ordering_lock lock(cell_->lock);
    cell_->current.swap(state);
    cell_->version.fetch_add(1, std::memory_order_release);  // pairs with the load in recall()
  }
}

void snapshot_publisher::close() noexcept {
  if (!cell_) return;
  snapshot_directory& directory = snapshot_directory::of(this_runtime("snapshot"));
  directory.remove(self());
  std::shared_ptr<const void> last;
  {
    std::lock_guard lock(cell_->lock);
    cell_->version.store(0);
    cell_->current.swap(last);
  }
  directory.forget(*cell_);
  cell_.reset();
}

// Away from the path above, which needs none of its stack.
[[gnu::noinline]] static snapshot_outcome look_for_snapshot(runtime_core& core, const snapshot_source& whose,
                                                            const type_record* state_type,
                                                            std::shared_ptr<const void>& state) {
  return snapshot_directory::of(core).read(whose, state_type, state);
}

snapshot_outcome read_snapshot(const snapshot_source& whose, const type_record* state_type,
                               std::shared_ptr<const void>& state) {
  runtime_core& core = require_runtime("snapshot");
  auto* mine = static_cast<memory*>(static_cast<worker_local*>(scheduler::current()->local)->snapshots);
  if (mine && mine->recall(core, whose, state_type, state)) [[likely]]
    return snapshot_outcome::found;
  return look_for_snapshot(core, whose, state_type, state);
}

}  // namespace otp::detail
