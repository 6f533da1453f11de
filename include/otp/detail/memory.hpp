// Memory for what lives shortly and is made often, messages first of all: a worker keeps what it was given back for
// what it makes next (src/process/envelope_pool.hpp). Every block comes from the global operator new and may go back.
#pragma once
#include <cstddef>

namespace otp::detail {

void* envelope_memory(std::size_t size);
void* envelope_memory_or_null(std::size_t size) noexcept;
void free_envelope_memory(void* memory, std::size_t size) noexcept;

}  // namespace otp::detail
