// The tables of one registry: who has which key, and which keys a process has.
//
// Rules
// 1. Two kinds of tables, each cut into shards with a lock of its own: entries by key, entries by process. A process's
//    shard is locked before a key's; two of one kind are never locked together.
// 2. An entry is in both. Only its process adds it; it is taken out by its process, or by the keeper of its partition
//    when the process or the keeper has ended. Who takes an entry off its process's list, under that shard's lock,
//    frees it, when no lock is held: keys and values are the user's, and so are their destructors.
// 3. Under a lock runs no code of the user's but the == of keys. What is looked up is copied out as terms (a pointer
//    and a count) and made into values outside. Nothing that can wait, and nothing of the runtime's but a look at
//    whether a process is there, is called under a lock.
// 4. An entry whose process has ended may stand in the tables for a moment. Whoever reads leaves it out: a process
//    closes its inbox before it tells anybody of its end, so who has heard of the end finds the inbox closed. For one
//    reader all entries of a process go together: see drop_the_dead.
//    In a unique registry whoever wants the key of a dead process takes it: the old entry is detached from the key
//    (its `node` is null) and stays on its process's list for the keeper.
// 5. `keepers[i]` is 0 while partition i has no keeper. It is set to 0 before the partition is emptied, and an entry is
//    added only after another look at it under the process's lock: so no entry is left without a keeper.
// 6. A table is never freed while its runtime lives: a registry that is started again under the same name takes over
//    the tables of the last one, emptied. `type`, `by_key` and `partitions` may change then. Who asks for a registry
//    looks first whether its supervisor is there.
#pragma once
#include "base/flat_table.hpp"

#include <otp/registry.hpp>

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace otp::detail {

template <class T>
struct hash_hook {
  T* next = nullptr;
  T** at = nullptr;  // what points to this one
};

/// A hash table of things that live elsewhere and carry their hook. In a chain the newest comes first; among those of
/// one hash this stays so when the table grows.
template <class T, hash_hook<T> T::* Hook>
class hook_table {
 public:
  std::size_t size() const noexcept { return size_; }
  /// Makes room for one more. May throw; insert() then does not.
  void reserve_one() {
    if (size_ < buckets_.size()) return;
    std::vector<T*> fresh(buckets_.empty() ? 4 : buckets_.size() * 2, nullptr);
    buckets_.swap(fresh);
    for (T* head : fresh) {
      T* oldest_first = nullptr;
      while (head) {
        T* item = std::exchange(head, (head->*Hook).next);
        (item->*Hook).next = oldest_first;
        oldest_first = item;
      }
      while (oldest_first) {
        T* item = std::exchange(oldest_first, (oldest_first->*Hook).next);
        put(*item);
      }
    }
  }
  void insert(T& item) noexcept {
    put(item);
    ++size_;
  }
  void erase(T& item) noexcept {
    hash_hook<T>& hook = item.*Hook;
    *hook.at = hook.next;
    if (hook.next) (hook.next->*Hook).at = hook.at;
    hook = {};
    --size_;
  }
  /// Gives the memory of a table back that was large and is empty. Not while for_each() looks.
  void trim() noexcept {
    if (size_ == 0 && buckets_.size() > 1024) buckets_ = {};
  }
  T* chain(std::uint64_t hash) const noexcept { return buckets_.empty() ? nullptr : buckets_[place(hash)]; }
  static T* next(const T& item) noexcept { return (item.*Hook).next; }
  template <class F>
  void for_each(F&& look) const {
    for (T* head : buckets_)
      for (T* item = head; item;) {
        T* after = (item->*Hook).next;
        look(*item);
        item = after;
      }
  }

 private:
  std::size_t place(std::uint64_t hash) const noexcept { return hash & (buckets_.size() - 1); }
  void put(T& item) noexcept {
    T*& head = buckets_[place(item.hash_for(Hook))];
    hash_hook<T>& hook = item.*Hook;
    hook.next = head;
    hook.at = &head;
    if (head) (head->*Hook).at = &hook.next;
    head = &item;
  }
  std::vector<T*> buckets_;  // a power of two of them
  std::size_t size_ = 0;
};

struct registry_node;
struct registry_member;

struct registry_entry {
  otp::pid process;
  term key;  // the same box as its node's, which is therefore never the last one to go
  term value;
  std::uint64_t hash;
  registry_node* node = nullptr;      // key lock; null: detached (rule 4)
  std::uint32_t place = 0;            // key lock: in the node's `many`
  bool last = true;                   // detached: its process has no other under the key
  std::uint32_t number = 0;           // of the entries of its process: tells them apart
  hash_hook<registry_entry> same;     // key lock: by key and process
  registry_member* member = nullptr;  // process lock, as the next two
  registry_entry* before = nullptr;
  registry_entry* after = nullptr;  // when it has been taken out: the next one that is to be freed

  static std::uint64_t owned(std::uint64_t key_hash, otp::pid process) noexcept {
    return hash_key(key_hash ^ hash_key(process.value()));
  }
  std::uint64_t hash_for(hash_hook<registry_entry> registry_entry::*) const noexcept { return owned(hash, process); }
};

/// A place in a key's list. Those that were left stay, without an entry, until they are as many as the others.
struct registry_place {
  otp::pid process;
  term value;  // the entry's
  registry_entry* entry = nullptr;
};

struct registry_node {
  term key;
  std::uint64_t hash;
  hash_hook<registry_node> hook;
  registry_entry* one = nullptr;     // unique registries
  std::vector<registry_place> many;  // duplicate ones, in the order of registration
  std::size_t left = 0;              // places without an entry
  std::uint64_t hash_for(hash_hook<registry_node> registry_node::*) const noexcept { return hash; }
};

struct registry_member {
  otp::pid process;
  std::size_t partition;
  hash_hook<registry_member> hook;
  registry_entry* first = nullptr;
  registry_entry* last = nullptr;
  std::size_t count = 0;
  std::uint32_t last_number = 0;
  std::uint64_t hash_for(hash_hook<registry_member> registry_member::*) const noexcept {
    return hash_key(process.value());
  }
};

struct registry_table {
  static constexpr std::size_t partitions_max = 256;

  struct alignas(64) key_shard {
    mutable std::mutex lock;
    hook_table<registry_node, &registry_node::hook> nodes;
    hook_table<registry_entry, &registry_entry::same> owned;
  };
  struct alignas(64) process_shard {
    mutable std::mutex lock;
    hook_table<registry_member, &registry_member::hook> members;
  };

  registry_table(runtime_core& in, std::string_view called, std::uint64_t hash_of_name)
      : core(in), name(called), name_hash(hash_of_name) {}
  ~registry_table();
  registry_table(const registry_table&) = delete;
  registry_table& operator=(const registry_table&) = delete;

  key_shard& shard_of(std::uint64_t hash) const noexcept { return keys[hash_key(hash) >> shard_shift]; }
  process_shard& shard_of(otp::pid process) const noexcept {
    return processes[hash_key(process.value()) >> shard_shift];
  }
  std::size_t partition_of(otp::pid process) const noexcept {
    return hash_key(process.value()) % partitions.load(std::memory_order_relaxed);
  }

  /// A registry begins under this name. In its supervisor.
  void open(const registry_type& of, const registry_options& options, otp::pid its_supervisor);
  /// A keeper begins, and ends.
  void open_partition(std::size_t partition, otp::pid keeper);
  void close_partition(std::size_t partition, otp::pid keeper) noexcept;
  /// Takes out all entries of a process, which has ended, and tells the listeners.
  void remove_process(otp::pid process);

  runtime_core& core;
  const std::string name;
  const std::uint64_t name_hash;
  registry_table* next = nullptr;  // in the directory

  std::atomic<std::uint64_t> supervisor{0};
  std::atomic<const registry_type*> type{nullptr};
  std::atomic<bool> by_key{false};
  std::atomic<std::size_t> partitions{1};
  std::array<std::atomic<std::uint64_t>, partitions_max> keepers{};
  std::atomic<bool> has_listeners{false};

  mutable std::mutex admin_lock;
  std::shared_ptr<const std::vector<std::string>> listeners;  // guarded by admin_lock
  std::vector<std::pair<term, term>> meta;                    // guarded by admin_lock

  static constexpr unsigned shard_shift = 64 - 6;
  mutable std::array<key_shard, 64> keys;
  mutable std::array<process_shard, 64> processes;
};

}  // namespace otp::detail
