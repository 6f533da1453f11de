#include "behaviours/registry_table.hpp"

#include "base/isolation.hpp"

#include <otp/message.hpp>

#include <algorithm>

namespace otp::detail {

namespace {

/// What was taken out, until no lock is held any more.
struct garbage {
  garbage() = default;
  garbage(const garbage&) = delete;
  garbage& operator=(const garbage&) = delete;
  ~garbage() {
    while (registry_entry* e = first) {
      first = e->after;
      delete e;
    }
    while (registry_node* n = nodes) {
      nodes = n->hook.next;
      delete n;
    }
    delete member;
  }
  void add(registry_entry& e) noexcept {
    e.after = nullptr;
    (last ? last->after : first) = &e;
    last = &e;
  }
  registry_entry* first = nullptr;
  registry_entry* last = nullptr;
  registry_node* nodes = nullptr;
  registry_member* member = nullptr;
};

registry_node* node_of(const registry_table::key_shard& shard, const key_view& key) {
  for (registry_node* n = shard.nodes.chain(key.hash); n; n = shard.nodes.next(*n))
    if (n->hash == key.hash && key.equal(key.value, n->key)) return n;
  return nullptr;
}

registry_entry* first_owned(const registry_table::key_shard& shard, const registry_node& node, pid process) noexcept {
  for (registry_entry* e = shard.owned.chain(registry_entry::owned(node.hash, process)); e; e = shard.owned.next(*e))
    if (e->node == &node && e->process == process) return e;
  return nullptr;
}
registry_entry* next_owned(const registry_table::key_shard& shard, const registry_entry& after) noexcept {
  for (registry_entry* e = shard.owned.next(after); e; e = shard.owned.next(*e))
    if (e->node == after.node && e->process == after.process) return e;
  return nullptr;
}

registry_member* member_of(const registry_table::process_shard& shard, pid process) noexcept {
  for (registry_member* m = shard.members.chain(hash_key(process.value())); m; m = shard.members.next(*m))
    if (m->process == process) return m;
  return nullptr;
}

// Under the key's lock: the entry's key forgets it.
void detach(registry_table::key_shard& shard, registry_entry& e, garbage& out) noexcept {
  registry_node* node = std::exchange(e.node, nullptr);
  if (!node) return;
  shard.owned.erase(e);
  e.last = !first_owned(shard, *node, e.process);
  bool empty = true;
  if (node->one) {
    node->one = nullptr;
  } else {
    registry_place& place = node->many[e.place];
    place.entry = nullptr;
    place.value = term();  // the entry has it too: its destructor does not run here
    ++node->left;
    empty = node->left == node->many.size();
    if (!empty && node->left > 16 && node->left * 2 > node->many.size()) {
      std::uint32_t to = 0;
      for (registry_place& from : node->many) {
        if (!from.entry) continue;
        from.entry->place = to;
        if (&node->many[to] != &from) node->many[to] = std::move(from);
        ++to;
      }
      node->many.resize(to);
      node->left = 0;
      // After a crowd has left, its memory goes back too.
      if (node->many.capacity() > 4 * std::size_t{to} + 64) {
        try {
          node->many.shrink_to_fit();
        } catch (const std::bad_alloc&) {
          // Then later.
        }
      }
    }
  }
  shard.owned.trim();
  if (!empty) return;
  shard.nodes.erase(*node);
  shard.nodes.trim();
  node->hook.next = out.nodes;
  out.nodes = node;
}

// Under the process's lock: its list forgets the entry.
void take_off(registry_table::process_shard& shard, registry_entry& e, garbage& out) noexcept {
  registry_member* m = e.member;
  (e.before ? e.before->after : m->first) = e.after;
  (e.after ? e.after->before : m->last) = e.before;
  e.before = nullptr;
  out.add(e);
  if (--m->count > 0) return;
  shard.members.erase(*m);
  shard.members.trim();
  out.member = m;
}

std::shared_ptr<const std::vector<std::string>> listeners_of(const registry_table& t) {
  if (!t.has_listeners.load(std::memory_order_acquire)) return nullptr;
  ordering_lock lock(t.admin_lock);
  return t.listeners;
}

void tell(const registry_table& t, const std::vector<std::string>& listeners,
          envelope* (*make)(std::string_view, const registry_row&), const registry_row& row) {
  for (const std::string& listener : listeners)
    if (auto process = otp::whereis(listener)) send_envelope(*process, make(t.name, row));
}

// Once a key that its process has no entry under any more.
void tell_removed(const registry_table& t, const garbage& gone) {
  auto listeners = listeners_of(t);
  if (!listeners) return;
  const registry_type* type = t.type.load();
  for (const registry_entry* e = gone.first; e; e = e->after)
    if (e->last) tell(t, *listeners, type->unregistered, {e->process, e->key, {}});
}

// Leaves out who has ended. A process may end between the looks at two of its entries: then both go.
template <class Found>
void drop_the_dead(const registry_table& t, std::vector<Found>& found) {
  std::vector<pid> dead;
  pid last;
  for (const Found& f : found) {
    if (f.process == last) continue;
    last = f.process;
    if (!is_there(t.core, last)) dead.push_back(last);
  }
  if (dead.empty()) return;
  std::sort(dead.begin(), dead.end());
  std::erase_if(found, [&](const Found& f) { return std::binary_search(dead.begin(), dead.end(), f.process); });
}

[[noreturn]] void refuse_without_keeper(const registry_table& t) {
  throw bad_argument("registry " + quoted(t.name) +
                     ": its keeper has ended and is not back yet; register under the supervisor that restarts both");
}

}  // namespace

registry_table::~registry_table() {
  for (process_shard& shard : processes)
    shard.members.for_each([](registry_member& m) {
      for (registry_entry* e = m.first; e;) delete std::exchange(e, e->after);
      delete &m;
    });
  for (key_shard& shard : keys) shard.nodes.for_each([](registry_node& n) { delete &n; });
}

// ---- life --------------------------------------------------------------------------------------------------------

void registry_table::open(const registry_type& of, const registry_options& options, pid its_supervisor) {
  auto heard =
      options.listeners.empty() ? nullptr : std::make_shared<const std::vector<std::string>>(options.listeners);
  supervisor.store(0);
  // The keepers of the last registry of this name may still be ending.
  for (std::size_t i = 0; i < partitions_max; ++i)
    if (std::uint64_t keeper = keepers[i].load()) close_partition(i, pid(keeper));
  ordering_lock lock(admin_lock);
  listeners = std::move(heard);
  has_listeners.store(listeners != nullptr);
  meta = options.meta;
  type.store(&of);
  by_key.store(options.partition_by == otp::partition_by::key);
  partitions.store(static_cast<std::size_t>(options.partitions));
  supervisor.store(its_supervisor.value());
}

void registry_table::open_partition(std::size_t partition, pid keeper) {
  if (std::uint64_t old = keepers[partition].load()) close_partition(partition, pid(old));
  keepers[partition].store(keeper.value());
}

void registry_table::close_partition(std::size_t partition, pid keeper) noexcept {
  std::uint64_t expected = keeper.value();
  if (!keepers[partition].compare_exchange_strong(expected, 0)) return;
  for (process_shard& shard : processes) {
    registry_member* taken = nullptr;
    {
      ordering_lock lock(shard.lock);
      shard.members.for_each([&](registry_member& m) {
        if (m.partition != partition) return;
        shard.members.erase(m);
        m.hook.next = taken;
        taken = &m;
      });
      shard.members.trim();
    }
    while (registry_member* m = taken) {
      taken = m->hook.next;
      garbage out;
      out.member = m;
      while (registry_entry* e = m->first) {
        m->first = e->after;
        key_shard& by_key_shard = shard_of(e->hash);
        ordering_lock lock(by_key_shard.lock);
        detach(by_key_shard, *e, out);
        out.add(*e);
      }
    }
  }
}

void registry_table::remove_process(pid process) {
  garbage out;
  registry_entry* entries = nullptr;
  {
    process_shard& shard = shard_of(process);
    ordering_lock lock(shard.lock);
    registry_member* m = member_of(shard, process);
    if (!m) return;
    shard.members.erase(*m);
    shard.members.trim();
    out.member = m;
    entries = m->first;
  }
  while (registry_entry* e = entries) {
    entries = e->after;
    key_shard& shard = shard_of(e->hash);
    {
      ordering_lock lock(shard.lock);
      detach(shard, *e, out);
    }
    out.add(*e);
  }
  tell_removed(*this, out);
}

// ---- registering -------------------------------------------------------------------------------------------------

result<pid> add_entry(registry_table& t, const key_view& view, term key, term value) {
  pid me = self();
  if (!me) throw bad_argument("register_key: only a process can register itself; call it from one");
  std::size_t partition = t.partition_of(me);
  std::uint64_t keeper = t.keepers[partition].load();
  if (keeper == 0) refuse_without_keeper(t);
  bool unique = t.type.load()->unique;
  registry_row row{me, key, value};
  auto entry = std::make_unique<registry_entry>();
  entry->process = me;
  entry->hash = view.hash;
  entry->value = std::move(value);
  auto member = std::make_unique<registry_member>();
  member->process = me;
  member->partition = partition;
  auto node = std::make_unique<registry_node>();
  node->hash = view.hash;
  node->key = key;
  // First the link: who is in the tables has a keeper that will hear of its end.
  struct new_link {
    explicit new_link(pid k) : keeper(k) { link(keeper); }
    ~new_link() {
      if (!undo) return;
      try {
        unlink(keeper);
      } catch (...) {
        // No memory for it: a link too many hurts nobody.
      }
    }
    pid keeper;
    bool undo = true;  // the caller has no entry that the link belongs to
  } linked{pid(keeper)};
  std::optional<pid> holder;
  {
    registry_table::process_shard& mine = t.shard_of(me);
    ordering_lock of_process(mine.lock);
    registry_table::key_shard& shard = t.shard_of(view.hash);
    ordering_lock of_key(shard.lock);
    registry_member* member_here = member_of(mine, me);
    if (member_here) linked.undo = false;
    registry_node* node_here = node_of(shard, view);
    if (t.keepers[partition].load() != keeper) refuse_without_keeper(t);
    if (unique && node_here && is_there(t.core, node_here->one->process)) {
      holder = node_here->one->process;
    } else {
      // Whatever can fail for lack of memory comes first.
      if (!member_here) mine.members.reserve_one();
      if (!node_here) shard.nodes.reserve_one();
      shard.owned.reserve_one();
      registry_node* n = node_here ? node_here : node.get();
      if (!unique) n->many.emplace_back();
      if (unique && node_here) {  // a dead process's: the keeper finds its entry detached
        registry_entry* old = std::exchange(n->one, nullptr);
        shard.owned.erase(*old);
        old->node = nullptr;
      }
      if (!node_here) shard.nodes.insert(*node.release());
      if (!member_here) {
        member_here = member.release();
        mine.members.insert(*member_here);
      }
      registry_entry* e = entry.release();
      e->key = n->key;
      e->node = n;
      e->number = ++member_here->last_number;
      if (unique) {
        n->one = e;
      } else {
        e->place = static_cast<std::uint32_t>(n->many.size() - 1);
        n->many.back() = {me, e->value, e};
      }
      shard.owned.insert(*e);
      e->member = member_here;
      e->before = member_here->last;
      (member_here->last ? member_here->last->after : member_here->first) = e;
      member_here->last = e;
      ++member_here->count;
      linked.undo = false;
    }
  }
  if (holder) return std::unexpected(exit_reason::of_pid(exit_reason::kind::already_registered, *holder));
  if (auto listeners = listeners_of(t)) tell(t, *listeners, t.type.load()->registered, row);
  return pid(keeper);
}

namespace {

// Removes the caller's entries under a key, of a sorted list of numbers only those.
void remove_own(registry_table& t, const key_view& view, const std::vector<std::uint32_t>* only) {
  pid me = self();
  if (!me) throw bad_argument("unregister_key: only a process has entries; call it from one");
  garbage out;
  std::uint64_t keeper = 0;
  {
    registry_table::process_shard& mine = t.shard_of(me);
    ordering_lock of_process(mine.lock);
    registry_member* member = member_of(mine, me);
    if (!member) return;
    std::size_t partition = member->partition;
    registry_table::key_shard& shard = t.shard_of(view.hash);
    ordering_lock of_key(shard.lock);
    registry_node* node = node_of(shard, view);
    registry_entry* e = node ? first_owned(shard, *node, me) : nullptr;
    while (e) {
      registry_entry* following = next_owned(shard, *e);
      if (!only || std::binary_search(only->begin(), only->end(), e->number)) {
        detach(shard, *e, out);
        take_off(mine, *e, out);
      }
      e = following;
    }
    if (out.member) keeper = t.keepers[partition].load();
  }
  if (keeper != 0) unlink(pid(keeper));
  tell_removed(t, out);
}

}  // namespace

void remove_entries(registry_table& t, const key_view& view) { remove_own(t, view, nullptr); }

void remove_entries_if(registry_table& t, const key_view& view, bool (*wanted)(void*, const term&), void* argument) {
  pid me = self();
  std::vector<std::pair<std::uint32_t, term>> mine;
  {
    registry_table::key_shard& shard = t.shard_of(view.hash);
    ordering_lock lock(shard.lock);
    registry_node* node = node_of(shard, view);
    for (registry_entry* e = node ? first_owned(shard, *node, me) : nullptr; e; e = next_owned(shard, *e))
      mine.emplace_back(e->number, e->value);
  }
  std::reverse(mine.begin(), mine.end());  // as they were registered
  std::vector<std::uint32_t> numbers;
  for (auto& [number, value] : mine)
    if (wanted(argument, value)) numbers.push_back(number);
  if (numbers.empty()) return;
  std::sort(numbers.begin(), numbers.end());
  remove_own(t, view, &numbers);
}

std::optional<term> own_value(registry_table& t, const key_view& view) {
  pid me = self();
  registry_table::key_shard& shard = t.shard_of(view.hash);
  ordering_lock lock(shard.lock);
  registry_node* node = node_of(shard, view);
  if (!node || !node->one || node->one->process != me) return std::nullopt;
  return node->one->value;
}

bool set_own_value(registry_table& t, const key_view& view, term value) {
  pid me = self();
  registry_table::key_shard& shard = t.shard_of(view.hash);
  ordering_lock lock(shard.lock);
  registry_node* node = node_of(shard, view);
  if (!node || !node->one || node->one->process != me) return false;
  std::swap(node->one->value, value);  // the old one goes when the parameter does, after the lock
  return true;
}

// ---- looking up --------------------------------------------------------------------------------------------------

std::optional<pid> find_holder(const registry_table& t, const key_view& view) {
  pid holder;
  {
    registry_table::key_shard& shard = t.shard_of(view.hash);
    ordering_lock lock(shard.lock);
    registry_node* node = node_of(shard, view);
    if (!node || !node->one) return std::nullopt;
    holder = node->one->process;
  }
  if (!is_there(t.core, holder)) return std::nullopt;
  return holder;
}

std::optional<registry_match> find_entry(const registry_table& t, const key_view& view) {
  std::optional<registry_match> found;
  {
    registry_table::key_shard& shard = t.shard_of(view.hash);
    ordering_lock lock(shard.lock);
    registry_node* node = node_of(shard, view);
    if (!node || !node->one) return std::nullopt;
    found.emplace(node->one->process, node->one->value);
  }
  if (!is_there(t.core, found->process)) found.reset();
  return found;
}

std::vector<registry_match> find_entries(const registry_table& t, const key_view& view) {
  std::vector<registry_match> found;
  {
    registry_table::key_shard& shard = t.shard_of(view.hash);
    ordering_lock lock(shard.lock);
    registry_node* node = node_of(shard, view);
    if (!node) return found;
    if (node->one) {
      found.push_back({node->one->process, node->one->value});
    } else {
      found.reserve(node->many.size() - node->left);
      for (const registry_place& place : node->many)
        if (place.entry) found.push_back({place.process, place.value});
    }
  }
  drop_the_dead(t, found);
  return found;
}

std::vector<term> keys_of(const registry_table& t, pid process) {
  std::vector<term> keys;
  {
    registry_table::process_shard& shard = t.shard_of(process);
    ordering_lock lock(shard.lock);
    if (registry_member* m = member_of(shard, process))
      for (registry_entry* e = m->first; e; e = e->after) keys.push_back(e->key);
  }
  if (!is_there(t.core, process)) keys.clear();
  return keys;
}

std::vector<term> values_of(const registry_table& t, const key_view& view, pid process) {
  std::vector<term> values;
  {
    registry_table::key_shard& shard = t.shard_of(view.hash);
    ordering_lock lock(shard.lock);
    registry_node* node = node_of(shard, view);
    for (registry_entry* e = node ? first_owned(shard, *node, process) : nullptr; e; e = next_owned(shard, *e))
      values.push_back(e->value);
  }
  if (!is_there(t.core, process)) values.clear();
  std::reverse(values.begin(), values.end());
  return values;
}

std::size_t count_entries(const registry_table& t) {
  std::size_t count = 0;
  for (registry_table::process_shard& shard : t.processes) {
    ordering_lock lock(shard.lock);
    shard.members.for_each([&](const registry_member& m) {
      if (is_there(t.core, m.process)) count += m.count;
    });
  }
  return count;
}

std::vector<registry_row> all_entries(const registry_table& t) {
  std::vector<registry_row> found;
  for (registry_table::key_shard& shard : t.keys) {
    ordering_lock lock(shard.lock);
    shard.nodes.for_each([&](const registry_node& node) {
      if (node.one) found.push_back({node.one->process, node.key, node.one->value});
      for (const registry_place& place : node.many)
        if (place.entry) found.push_back({place.process, node.key, place.value});
    });
  }
  drop_the_dead(t, found);
  return found;
}

std::size_t partition_of(const registry_table& t, pid process) { return t.partition_of(process); }
std::size_t partition_count(const registry_table& t) { return t.partitions.load(); }
bool partitioned_by_key(const registry_table& t) { return t.by_key.load(); }

// ---- metadata ----------------------------------------------------------------------------------------------------

std::optional<term> get_meta(const registry_table& t, const term& key) {
  ordering_lock lock(t.admin_lock);
  for (auto& [k, v] : t.meta)
    if (k == key) return v;
  return std::nullopt;
}

void set_meta(registry_table& t, term key, term value) {
  ordering_lock lock(t.admin_lock);
  for (auto& [k, v] : t.meta)
    if (k == key) return std::swap(v, value);
  t.meta.emplace_back(std::move(key), std::move(value));
}

void remove_meta(registry_table& t, const term& key) {
  std::pair<term, term> gone;
  ordering_lock lock(t.admin_lock);
  for (auto it = t.meta.begin(); it != t.meta.end(); ++it)
    if (it->first == key) {
      gone = std::move(*it);
      t.meta.erase(it);
      return;
    }
}

}  // namespace otp::detail
