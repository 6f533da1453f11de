// Two ways over the end of a stack: many small frames, and one that jumps over a guard of a page.
#pragma once

namespace tests {

inline volatile int sink = 0;
inline volatile int deepest = -1;  // never reached; the compiler does not know

[[gnu::noinline]] inline int recurse(int depth) {
  volatile char frame[200];
  frame[0] = static_cast<char>(depth);
  if (depth == deepest) return 0;
  const int below = recurse(depth + 1);
  return below + frame[0];
}
[[gnu::noinline]] inline int one_large_frame(int at) {
  volatile char frame[1 << 20];
  frame[at] = 1;
  return frame[at];
}

}  // namespace tests
