// What a worker keeps of the memory of envelopes: the ones its processes have read, for the ones they send next.
//
// Rules
// 1. A pool belongs to one worker; nobody else touches it. A block that was taken here may be given back elsewhere.
// 2. Every block was made by the global operator new, with the size of its class, and may go back there at any time.
// 3. Under the sanitizers it keeps nothing: they are to see every use of an envelope that is gone.
#pragma once
#include <array>
#include <cstddef>

namespace otp::detail {

class envelope_pool {
 public:
  static constexpr std::size_t step = 32;
  static constexpr std::size_t largest = 256;
  static constexpr std::size_t kept_max = std::size_t{1} << 20U;  // bytes

  envelope_pool() = default;
  ~envelope_pool() { trim(); }
  envelope_pool(const envelope_pool&) = delete;
  envelope_pool& operator=(const envelope_pool&) = delete;

  /// A block of this class, or null.
  void* take(std::size_t size_class) noexcept {
    block* first = free_[size_class];
    if (!first) return nullptr;
    free_[size_class] = first->next;
    kept_ -= size_class * step;
    return first;
  }
  /// False: it is full.
  bool give(void* memory, std::size_t size_class) noexcept;
  /// Gives everything back.
  void trim() noexcept;

  static constexpr std::size_t class_of(std::size_t size) noexcept { return (size + step - 1) / step; }

 private:
  struct block {
    block* next;
  };
  std::array<block*, largest / step + 1> free_{};
  std::size_t kept_ = 0;
};

}  // namespace otp::detail
