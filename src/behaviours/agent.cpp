// Snapshots of agents: how a state is published, and how it is read on every core at once.
//
// Rules
// 1. A cell is what one agent publishes. Under its lock: `current`. The agent sets `current`, then `version`; a reader
//    that finds the version of what it has does not look further. Version 0: the agent is gone, or has not begun.
// 2. Readers of one worker share a copy of the pointer with a count of references of its own (`copy`), so that taking
//    and dropping a snapshot writes to no memory that another core reads. A place belongs to one worker; the last one
//    to all threads that are none. Its lock is there for those and for the agent's end, which empties every place.
// 3. A worker remembers whose cell is whose (`finds`), by process or by local name. A name is believed as long as no
//    name of the runtime has been given up since (names_given_up).
// 4. Nothing is freed under a lock: the last owner of an old state is its reader, whose user's destructor runs after.
#include <otp/agent.hpp>

#include "base/flat_table.hpp"

#include <array>
#include <atomic>
#include <mutex>
#include <vector>

namespace otp::detail {

struct snapshot_cell {
  struct alignas(64) place {
    std::mutex lock;
    std::uint64_t version = 0;         // of `copy`; guarded by lock, as `copy`
    std::shared_ptr<const void> copy;  // owns `current` by way of a count of its own
  };
  snapshot_cell(const type_record* t, std::size_t places) : type(t), of_worker(places) {}

  const type_record* const type;
  std::atomic<std::uint64_t> version{0};
  std::mutex lock;
  std::shared_ptr<const void> current;  // guarded by lock
  std::vector<place> of_worker;
};

namespace {

class snapshot_directory final : public kept {
 public:
  explicit snapshot_directory(runtime_core& core) : core_(core), of_worker_(worker_places(core)) {}

  std::size_t places() const noexcept { return of_worker_.size(); }
  void add(pid process, std::shared_ptr<snapshot_cell> cell) {
    std::lock_guard lock(lock_);
    cells_.insert(process.value(), std::move(cell));
  }
  void remove(pid process) noexcept {
    std::lock_guard lock(lock_);
    cells_.erase(process.value());
  }
  std::shared_ptr<snapshot_cell> cell_of(pid process) const {
    std::lock_guard lock(lock_);
    const auto* found = cells_.find(process.value());
    return found ? *found : nullptr;
  }

  snapshot_outcome read(const snapshot_source& whose, const type_record* type, std::shared_ptr<const void>& state) {
    const std::size_t worker = worker_place(core_);
    memory& mine = of_worker_[worker];
    const std::uint64_t hash = whose.name.empty() ? hash_key(whose.process.value()) : text_hash(whose.name);
    std::shared_ptr<snapshot_cell> found;
    std::shared_ptr<const void> old;
    {
      std::lock_guard lock(mine.lock);
      find& known = mine.finds[hash % mine.finds.size()];
      const bool same = known.cell && known.hash == hash &&
                        (whose.name.empty() ? known.name.empty() && known.process == whose.process
                                            : known.name == whose.name && known.names == names_given_up(core_));
      if (same && is_there(core_, known.process)) {
        if (known.cell->type != type) return snapshot_outcome::wrong_type;
        if (take(*known.cell, worker, state, old)) return snapshot_outcome::found;
      }
    }
    const std::uint64_t names = names_given_up(core_);
    pid process = whose.process;
    if (!whose.name.empty()) process = whereis_in(core_, whose.name).value_or(pid());
    if (!process || !is_there(core_, process)) return snapshot_outcome::nobody;
    found = cell_of(process);
    if (!found) return snapshot_outcome::unpublished;
    if (found->type != type) return snapshot_outcome::wrong_type;
    if (!take(*found, worker, state, old)) return snapshot_outcome::nobody;  // it has just gone
    std::string name(whose.name);
    std::lock_guard lock(mine.lock);
    find& known = mine.finds[hash % mine.finds.size()];
    known.hash = hash;
    known.names = names;
    known.process = process;
    known.name.swap(name);
    known.cell.swap(found);  // what was there goes after the lock
    return snapshot_outcome::found;
  }

  static snapshot_directory& of(runtime_core& core) {
    static const char key = 0;
    return static_cast<snapshot_directory&>(keep_with_runtime(
        core, &key,
        [](runtime_core& in) -> std::unique_ptr<kept> { return std::make_unique<snapshot_directory>(in); }));
  }

 private:
  struct find {
    std::uint64_t hash = 0;
    std::uint64_t names = 0;  // rule 3
    pid process;
    std::string name;  // empty: asked for by process
    std::shared_ptr<snapshot_cell> cell;
  };
  struct alignas(64) memory {
    std::mutex lock;
    std::array<find, 64> finds;
  };

  // False if the cell is closed. `old` is what the place had before.
  static bool take(snapshot_cell& cell, std::size_t worker, std::shared_ptr<const void>& state,
                   std::shared_ptr<const void>& old) {
    snapshot_cell::place& mine = cell.of_worker[worker];
    std::lock_guard lock(mine.lock);
    const std::uint64_t version = cell.version.load(std::memory_order_acquire);
    if (version == 0) return false;
    if (mine.version != version) {
      std::shared_ptr<const void> fresh;
      std::uint64_t its_version = 0;
      {
        std::lock_guard of_cell(cell.lock);
        fresh = cell.current;
        its_version = cell.version.load(std::memory_order_relaxed);
      }
      if (its_version == 0) return false;
      // A count of references that only this worker's readers touch.
      struct keeper {
        std::shared_ptr<const void> held;
        void operator()(const void*) noexcept { held.reset(); }
      };
      const void* value = fresh.get();
      old = std::exchange(mine.copy, std::shared_ptr<const void>(value, keeper{std::move(fresh)}));
      mine.version = its_version;
    }
    state = mine.copy;
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
    snapshot_directory& directory = snapshot_directory::of(this_runtime("snapshot"));
    auto made = std::make_shared<snapshot_cell>(state_type, directory.places());
    made->current = std::move(state);
    made->version.store(1);
    directory.add(self(), made);
    cell_ = std::move(made);
    return;
  }
  {
    std::lock_guard lock(cell_->lock);
    cell_->current.swap(state);
    cell_->version.fetch_add(1, std::memory_order_release);  // pairs with the load in take()
  }
}

void snapshot_publisher::close() noexcept {
  if (!cell_) return;
  snapshot_directory::of(this_runtime("snapshot")).remove(self());
  std::shared_ptr<const void> last;
  {
    std::lock_guard lock(cell_->lock);
    cell_->version.store(0);
    cell_->current.swap(last);
  }
  for (snapshot_cell::place& place : cell_->of_worker) {
    std::shared_ptr<const void> copy;
    std::lock_guard lock(place.lock);
    place.version = 0;
    place.copy.swap(copy);
  }
  cell_.reset();
}

snapshot_outcome read_snapshot(const snapshot_source& whose, const type_record* state_type,
                               std::shared_ptr<const void>& state) {
  return snapshot_directory::of(this_runtime("snapshot")).read(whose, state_type, state);
}

}  // namespace otp::detail
