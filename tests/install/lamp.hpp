// A machine outside the tree, for the diagram that the installed package writes.
#pragma once
#include <otp/gen_statem.hpp>

struct lamp {
  struct off {};
  struct on_now {};
  using states = otp::states<off, on_now>;
  struct press {};
  using events = otp::events<press>;
  otp::step<void, on_now> on(off&, press) { return otp::go(on_now{}); }
  otp::step<void, off> on(on_now&, press) { return otp::go(off{}); }
};
