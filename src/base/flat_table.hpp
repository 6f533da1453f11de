// A small table from a 64- or 128-bit key to a value: entries in one vector, an index only when there are many.
//
// Iteration follows the vector, so it depends on what was done and not on addresses or a hash seed: seeded runs repeat.
// Erasing moves the last entry into the gap.
#pragma once
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace otp::detail {

inline std::uint64_t hash_key(std::uint64_t key) noexcept {
  key *= 0x9e3779b97f4a7c15ULL;
  return key ^ (key >> 32);
}
inline std::uint64_t hash_key(const std::pair<std::uint64_t, std::uint64_t>& key) noexcept {
  return hash_key(key.first ^ hash_key(key.second));
}

template <class Key, class Value>
class flat_table {
 public:
  struct entry {
    Key key;
    Value value;
  };

  std::size_t size() const noexcept { return entries_.size(); }
  bool empty() const noexcept { return entries_.empty(); }
  auto begin() noexcept { return entries_.begin(); }
  auto end() noexcept { return entries_.end(); }
  auto begin() const noexcept { return entries_.begin(); }
  auto end() const noexcept { return entries_.end(); }

  Value* find(const Key& key) noexcept {
    std::size_t at = place(key);
    return at == nowhere ? nullptr : &entries_[at].value;
  }
  const Value* find(const Key& key) const noexcept { return const_cast<flat_table*>(this)->find(key); }

  /// Adds an entry whose key is not there yet. Strong guarantee.
  Value& insert(const Key& key, Value value) {
    entries_.push_back({key, std::move(value)});
    if (entries_.size() > plain_max || !index_.empty()) [[unlikely]]  // a table that was large keeps its index
      index_last();
    return entries_.back().value;
  }

  bool erase(const Key& key) noexcept {
    std::size_t at = place(key);
    if (at == nowhere) return false;
    erase_at(at);
    return true;
  }

  void clear() noexcept {
    entries_ = {};
    index_ = {};
  }
  /// The same, but a small one keeps its memory for the next entries.
  void reset() noexcept {
    if (entries_.capacity() > plain_max || !index_.empty()) return clear();
    entries_.clear();
  }

 private:
  static constexpr std::size_t nowhere = ~std::size_t{0};
  static constexpr std::size_t plain_max = 12;  // up to here a scan is as fast as a lookup

  std::size_t slot_of(const Key& key) const noexcept { return hash_key(key) & (index_.size() - 1); }

  std::size_t place(const Key& key) const noexcept {
    if (index_.empty()) {
      for (std::size_t i = 0; i < entries_.size(); ++i)
        if (entries_[i].key == key) return i;
      return nowhere;
    }
    for (std::size_t s = slot_of(key);; s = (s + 1) & (index_.size() - 1)) {
      if (index_[s] == 0) return nowhere;
      if (entries_[index_[s] - 1].key == key) return index_[s] - 1;
    }
  }

  [[gnu::noinline]] void index_last() {
    try {
      if (entries_.size() * 2 > index_.size())
        rebuild(entries_.size() * 4);
      else
        put(entries_.size() - 1);
    } catch (...) {
      entries_.pop_back();
      throw;
    }
  }

  void put(std::size_t at) noexcept {
    std::size_t s = slot_of(entries_[at].key);
    while (index_[s] != 0) s = (s + 1) & (index_.size() - 1);
    index_[s] = static_cast<std::uint32_t>(at + 1);
  }

  void rebuild(std::size_t wanted) {
    std::size_t size = 32;
    while (size < wanted) size *= 2;
    std::vector<std::uint32_t> fresh(size, 0);
    index_.swap(fresh);
    for (std::size_t i = 0; i < entries_.size(); ++i) put(i);
  }

  std::size_t index_slot(std::size_t at) const noexcept {
    std::size_t s = slot_of(entries_[at].key);
    while (index_[s] != at + 1) s = (s + 1) & (index_.size() - 1);
    return s;
  }

  void erase_at(std::size_t at) noexcept {
    if (!index_.empty()) [[unlikely]]
      return erase_indexed(at);
    drop(at);
  }

  // The last one comes to its place.
  void drop(std::size_t at) noexcept {
    if (std::size_t last = entries_.size() - 1; at != last) std::swap(entries_[at], entries_[last]);
    entries_.pop_back();
  }

  [[gnu::noinline]] void erase_indexed(std::size_t at) noexcept {
    std::size_t moved = index_slot(entries_.size() - 1);
    std::size_t gap = index_slot(at);
    index_[moved] = static_cast<std::uint32_t>(at + 1);
    // Close the gap: whatever was pushed past it by a collision moves back (linear probing without tombstones).
    std::size_t mask = index_.size() - 1;
    std::size_t next = (gap + 1) & mask;
    drop(at);
    index_[gap] = 0;
    for (; index_[next] != 0; next = (next + 1) & mask) {
      std::size_t home = slot_of(entries_[index_[next] - 1].key);
      if (((next - home) & mask) >= ((next - gap) & mask)) {
        index_[gap] = index_[next];
        index_[next] = 0;
        gap = next;
      }
    }
  }

  std::vector<entry> entries_;
  std::vector<std::uint32_t> index_;  // place in entries_ + 1; 0: free. A power of two, at most half full
};

}  // namespace otp::detail
