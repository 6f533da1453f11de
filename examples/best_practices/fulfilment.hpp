// An order on its way: more states than a server with a field for its state would survive.
#pragma once
#include <otp/otp.hpp>
#include <string>

// [fulfilment]
struct fulfilment {
  struct placed {};
  struct paid {};
  struct packed { std::string parcel; };
  struct shipped { std::string parcel; };
  struct delivered {};
  struct cancelled {};
  using states = otp::states<placed, paid, packed, shipped, delivered, cancelled>;

  struct pay {};
  struct pack { std::string parcel; };
  struct ship {};
  struct arrive {};
  struct cancel { using reply = bool; };
  struct overdue {};
  using events = otp::events<pay, pack, ship, arrive, cancel, overdue>;

  otp::step<void, paid> on(placed&, pay) { return otp::go(paid{}); }
  otp::step<void, packed> on(paid&, const pack& p) { return otp::go(packed{p.parcel}); }
  otp::step<void, shipped> on(packed& now, ship) {
    return otp::go(shipped{now.parcel}).state_timeout(std::chrono::hours(24 * 30), overdue{});
  }
  otp::step<void, delivered> on(shipped&, arrive) { return otp::go(delivered{}); }
  otp::step<void, cancelled> on(shipped&, overdue) { return otp::go(cancelled{}); }

  // What has not left the house can be cancelled.
  otp::step<bool, cancelled> on(placed&, cancel) { return otp::go(cancelled{}).reply(true); }
  otp::step<bool, cancelled> on(paid&, cancel) { return otp::go(cancelled{}).reply(true); }
  otp::step<bool, cancelled> on(packed&, cancel) { return otp::go(cancelled{}).reply(true); }
  bool otherwise(const auto&, const auto&) { return false; }
};
// [/fulfilment]
