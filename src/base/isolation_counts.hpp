// Included before every source of the library in an isolation build: the counts of std::shared_ptr, in code that is not
// instrumented, tell ThreadSanitizer what they order. libstdc++ has these two names for that.
#pragma once

extern "C" {
void __tsan_acquire(void* address);
void __tsan_release(void* address);
}

#define _GLIBCXX_SYNCHRONIZATION_HAPPENS_BEFORE(address) __tsan_release(address)
#define _GLIBCXX_SYNCHRONIZATION_HAPPENS_AFTER(address) __tsan_acquire(address)
