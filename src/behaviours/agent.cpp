// Snapshots of agents: how a state is published, and how it is read on every core at once.
//
// Rules
// 1. A cell is what one agent publishes. Under its lock: `current`. The agent sets `current`, then `version`; a reader
//    that finds the version of what it has does not look further. Version 0: the agent is gone, or has not begun.
// 2. Each worker remembers what it has read (`memory`): whose cell is whose, by process or by local name, and a hold of
//    its own on the state, so that taking and dropping a snapshot writes to no memory that another core uses. A name is
//    believed as long as no name of the runtime has been given up since (names_given_up).
// 3. A hold counts its holders twice. `own` is written by the thread of its memory alone, without a locked instruction,
//    as long as the hold is `biased`: until the memory gives it up. `others` counts everybody else's, and is one large
//    number more while the hold is biased. When the memory gives it up, `own` is added to `others` and the large number
//    taken off (settle); who brings `others` to 0 frees it. Either count alone may be below 0: a holder may be made on
//    one thread and dropped on another.
// 4. What a memory remembers changes under its lock. Its worker uses it without: it sets `reading`, and touches a hold
//    only if it then finds the cell's version to be that of the hold, or the hold to be biased. An agent that ends sets
//    its version to 0 and biased to false in every hold of it, passes a heavy_barrier, waits until nobody is `reading`,
//    and then takes the holds out and settles them. Whoever begins to read after the barrier sees both (membarrier.hpp;
//    the same in process.hpp, rule 4). No memory is gone before all its holds are settled.
// 5. Nothing is freed under a lock, or while `reading`: the last holder of an old state is its reader, whose user's
//    destructor runs after.
#include <otp/agent.hpp>

#include "base/flat_table.hpp"
#include "base/isolation.hpp"
#include "process/runtime_core.hpp"

#include <algorithm>
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

struct memory;

struct hold : snapshot_hold {
  hold(std::shared_ptr<const void> state, const memory* home_of) noexcept
      : snapshot_hold{state.get()}, home(home_of), keeps(std::move(state)) {}

  static constexpr std::int64_t bias = std::int64_t{1} << 40;
  const memory* const home;  // rule 3; whether it is this one is all that is asked of it
  std::int64_t own = 1;      // the memory's
  std::atomic<bool> biased{true};
  std::atomic<std::int64_t> others{bias};
  std::shared_ptr<const void> keeps;

  void add(std::int64_t holders) noexcept {
    if (others.fetch_add(holders, std::memory_order_acq_rel) + holders != 0) return;
    received(this);
    delete this;
  }
  // No holder is counted in `own` from now on; the memory's goes.
  void settle() noexcept { add(own - 1 - bias); }
};

// What was found under a name or a pid.
struct find {
  pid process;
  std::uint64_t names = 0;  // rule 2
  std::string name;         // empty: asked for by process
  std::shared_ptr<snapshot_cell> cell;
  std::uint64_t version = 0;  // of `state`
  hold* state = nullptr;
};

bool same_text(std::string_view a, std::string_view b) noexcept {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin());
}

// One worker's; a name that stands in several places of a program may be remembered in several of its places.
struct alignas(64) memory {
  std::atomic<bool> reading{false};  // rule 4
  std::mutex lock;
  std::array<find, 64> finds;

  memory() = default;
  memory(const memory&) = delete;
  memory& operator=(const memory&) = delete;
  ~memory() {  // the workers have ended
    for (find& f : finds)
      if (f.state) give_up(*f.state);
  }

  find& place_of(std::string_view name, pid process) noexcept {
    const std::uint64_t key = name.empty() ? process.value() : reinterpret_cast<std::uintptr_t>(name.data());
    return finds[hash_key(key) % finds.size()];
  }
  // By its worker: what it has, if nothing has changed, with one more holder.
  const snapshot_hold* recall(runtime_core& core, std::string_view name, pid process,
                              const type_record* type) noexcept {
    const find& known = place_of(name, process);
    if (!known.cell || known.cell->type != type || !same_text(known.name, name)) return nullptr;
    if (name.empty() ? known.process != process : known.names != core.names_given_up.load(std::memory_order_acquire))
      return nullptr;
    const otp::detail::process* agent = core.table.find(known.process);
    if (!agent || agent->in.closed()) return nullptr;
    reading.store(true, std::memory_order_relaxed);
    light_barrier();
    hold* same = nullptr;
    if (known.cell->version.load(std::memory_order_acquire) == known.version) [[likely]] {  // never 0
      received(&known.cell->lock);  // what its agent published, and whoever took it for this worker
      same = known.state;
      ++same->own;
    }
    reading.store(false, std::memory_order_release);  // to the agent that ends: it may take `state` from now on
    return same;
  }
  // By its worker, of one that was made for this memory: a holder more or less. False: it is settled.
  bool count(hold& h, std::int64_t holders) noexcept {
    reading.store(true, std::memory_order_relaxed);
    light_barrier();
    const bool mine = h.biased.load(std::memory_order_acquire);
    if (mine) h.own += holders;
    reading.store(false, std::memory_order_release);
    return mine;
  }
  // By its worker, or when that has ended.
  static void give_up(hold& h) noexcept {
    sent(&h);
    h.biased.store(false, std::memory_order_relaxed);
    h.settle();
  }
};

memory* memory_of(const worker& w) noexcept {
  return w.local ? static_cast<memory*>(static_cast<worker_local*>(w.local)->snapshots) : nullptr;
}

void count(const snapshot_hold* held, std::int64_t holders) noexcept {
  auto& h = const_cast<hold&>(static_cast<const hold&>(*held));
  const worker* w = scheduler::current();
  memory* here = w ? memory_of(*w) : nullptr;
  if (holders < 0) sent(&h);  // isolation.hpp: who frees it comes behind all who have read it
  if (!here || here != h.home || !here->count(h, holders)) h.add(holders);
}

class snapshot_directory final : public kept {
 public:
  explicit snapshot_directory(runtime_core& core) : core_(core), of_worker_(core.sched.shard_count()) {}

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

  // On worker `here`, for its caller.
  snapshot_outcome read(worker& here, const snapshot_source& whose, const type_record* type, snapshot_holder& state) {
    const std::uint64_t names = names_given_up(core_);
    pid process = whose.process;
    if (!whose.name.empty()) process = whereis_in(core_, whose.name).value_or(pid());
    if (!process || !is_there(core_, process)) return snapshot_outcome::nobody;
    std::shared_ptr<snapshot_cell> cell = cell_of(process);
    if (!cell) return snapshot_outcome::unpublished;
    if (cell->type != type) return snapshot_outcome::wrong_type;
    std::shared_ptr<const void> now;
    find fresh{.process = process, .names = names, .name = std::string(whose.name), .cell = std::move(cell)};
    {
      ordering_lock lock(fresh.cell->lock);
      now = fresh.cell->current;
      fresh.version = fresh.cell->version.load(std::memory_order_relaxed);
    }
    if (fresh.version == 0) return snapshot_outcome::nobody;  // it has just gone
    memory& mine = of_worker_[here.number];
    static_cast<worker_local*>(here.local)->snapshots = &mine;
    fresh.state = new hold(std::move(now), &mine);
    ++fresh.state->own;  // the caller
    state = snapshot_holder(fresh.state);
    {
      std::lock_guard lock(mine.lock);
      // One that has ended meanwhile has been here, or will find this.
      if (fresh.cell->version.load() != 0) std::swap(mine.place_of(whose.name, whose.process), fresh);
    }
    if (fresh.state) memory::give_up(*fresh.state);
    return snapshot_outcome::found;
  }

  // Its agent ends; the cell's version is 0.
  void forget(const snapshot_cell& cell) noexcept {
    bool any = false;
    for (memory& m : of_worker_) {
      std::lock_guard lock(m.lock);
      for (find& f : m.finds)
        if (f.state && f.cell.get() == &cell) {
          f.state->biased.store(false, std::memory_order_relaxed);
          any = true;
        }
    }
    if (!any) return;
    heavy_barrier();
    for (memory& m : of_worker_) {
      while (m.reading.load(std::memory_order_acquire)) scheduler::give_way();
      for (find& f : m.finds) {
        hold* last = nullptr;
        {
          std::lock_guard lock(m.lock);
          if (f.cell.get() == &cell) last = std::exchange(f.state, nullptr);
        }
        if (last) last->settle();
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

void hold_again(const snapshot_hold* held) noexcept { count(held, 1); }
void let_go(const snapshot_hold* held) noexcept { count(held, -1); }

const snapshot_hold* recall_snapshot(std::string_view name, pid process, const type_record* state_type) {
  worker& here = require_worker("snapshot");
  memory* mine = memory_of(here);
  return mine ? mine->recall(core_of(here), name, process, state_type) : nullptr;
}

snapshot_outcome read_snapshot(const snapshot_source& whose, const type_record* state_type, snapshot_holder& state) {
  worker& here = *scheduler::current();
  return snapshot_directory::of(core_of(here)).read(here, whose, state_type, state);
}

}  // namespace otp::detail
