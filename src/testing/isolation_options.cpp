// Part of every program of an isolation build (cmake/library.cmake): what its ThreadSanitizer does by default.
#include <sys/single_threaded.h>

// libstdc++ counts the owners of a shared_ptr without atomics while there is one thread: here that would be a race.
namespace {
[[maybe_unused]] const bool as_with_threads = (__libc_single_threaded = 0, true);
}

extern "C" const char* __tsan_default_options();
extern "C" const char* __tsan_default_options() {
  // The threads of the program have ended where its processes have: one thread, nobody to wait for.
  return "atexit_sleep_ms=0:report_signal_unsafe=0";
}

// What the library and those below it do in libc is theirs: isolation.hpp, rule 1.
extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() {
  return "called_from_lib:libotp.so\n"
         "called_from_lib:libfmt.so\n";
}
