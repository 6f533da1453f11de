// What servers, requests, replies and handlers may be.
#include "conformance/gen_server_support.hpp"

#include <otp/sys.hpp>

#include <any>
#include <memory>
#include <string>
#include <variant>
#include <vector>

using namespace conformance;
namespace gen_server = otp::gen_server;

namespace {

template <class Reply, int Number = 0>
struct ask {
  using reply = Reply;
};

struct base {
  virtual ~base() = default;
  virtual int number() const { return 1; }
};
struct derived final : base {
  int number() const override { return 2; }
};
struct empty {
  friend bool operator==(empty, empty) = default;
};
struct no_default {
  explicit no_default(int n) : value(n) {}
  int value;
};

struct replies {
  std::unique_ptr<int> handle_call(ask<std::unique_ptr<int>>) { return std::make_unique<int>(7); }
  std::unique_ptr<derived> handle_call(ask<std::unique_ptr<base>>) { return std::make_unique<derived>(); }
  const char* handle_call(ask<std::string>) { return "text"; }
  std::optional<int> handle_call(ask<std::optional<int>>) { return std::nullopt; }
  otp::result<int> handle_call(ask<otp::result<int>>) { return std::unexpected(otp::exit_reason("no")); }
  otp::result<void> handle_call(ask<otp::result<void>>) { return {}; }
  otp::exit_reason handle_call(ask<otp::exit_reason>) { return otp::reason::killed; }
  std::variant<int, std::string> handle_call(ask<std::variant<int, std::string>>) { return "either"; }
  std::any handle_call(ask<std::any>) { return 5; }
  otp::call_result<std::any> handle_call(ask<std::any, 1>) { return otp::reply(6); }
  void handle_call(ask<std::any, 2>, otp::from<std::any> f) { f.reply(std::string("any")); }
  empty handle_call(ask<empty>) { return {}; }
  no_default handle_call(ask<no_default>) { return no_default(3); }
  void handle_call(ask<no_default, 1>, otp::from<no_default> f) { f.reply(no_default(4)); }
  bool handle_call(ask<bool>) { return true; }
  std::vector<bool> handle_call(ask<std::vector<bool>>) { return {true, false}; }
  otp::pid handle_call(ask<otp::pid>) { return otp::self(); }
  otp::from<int> handle_call(ask<otp::from<int>>) { return {}; }
  void handle_call(ask<void>) {}
  otp::call_result<void> handle_call(ask<void, 1>) { return otp::reply(); }
  void handle_call(ask<void, 2>, otp::from<void> f) { f.reply(); }
  otp::call_result<void> handle_call(ask<void, 3>) { return otp::stop("done").reply(); }
  const std::string& handle_call(ask<std::string, 1>) { return name; }
  std::string name = "a copy";
};

// covers: GS-025 GS-042
TEST(gen_server_types, a_reply_may_be_anything_that_moves) {
  everywhere(10, [] {
    auto s = gen_server::start<replies>().value();
    EXPECT_EQ(*otp::call(s, ask<std::unique_ptr<int>>{}), 7);
    EXPECT_EQ(otp::call(s, ask<std::unique_ptr<base>>{})->number(), 2);
    EXPECT_EQ(otp::call(s, ask<std::string>{}), "text");
    EXPECT_EQ(otp::call(s, ask<std::optional<int>>{}), std::nullopt);
    EXPECT_EQ(otp::call(s, ask<otp::result<int>>{}).error(), otp::exit_reason("no"));
    EXPECT_TRUE(otp::call(s, ask<otp::result<void>>{}));
    EXPECT_EQ(otp::call(s, ask<otp::exit_reason>{}), otp::reason::killed);
    EXPECT_EQ(std::get<std::string>(otp::call(s, ask<std::variant<int, std::string>>{})), "either");
    EXPECT_EQ(std::any_cast<int>(otp::call(s, ask<std::any>{})), 5);
    EXPECT_EQ(std::any_cast<int>(otp::call(s, ask<std::any, 1>{})), 6);  // the value, not the step around it
    EXPECT_EQ(std::any_cast<std::string>(otp::call(s, ask<std::any, 2>{})), "any");
    EXPECT_EQ(otp::call(s, ask<empty>{}), empty{});
    EXPECT_EQ(otp::call(s, ask<no_default>{}).value, 3);
    EXPECT_EQ(otp::call(s, ask<no_default, 1>{}).value, 4);
    EXPECT_TRUE(otp::call(s, ask<bool>{}));
    EXPECT_EQ(otp::call(s, ask<std::vector<bool>>{}).size(), 2U);
    EXPECT_EQ(otp::call(s, ask<otp::pid>{}), s.pid());
    EXPECT_FALSE(otp::call(s, ask<otp::from<int>>{}));
    EXPECT_EQ(otp::call(s, ask<std::string, 1>{}), "a copy");
    // A result inside a result, told apart.
    auto outer = otp::try_call(s, ask<otp::result<int>>{});
    ASSERT_TRUE(outer);
    EXPECT_FALSE(*outer);
    otp::call(s, ask<void>{});
    otp::call(s, ask<void, 1>{});
    otp::call(s, ask<void, 2>{});
    EXPECT_TRUE(otp::try_call(s, ask<void>{}));
    auto id = otp::send_request(s, ask<std::unique_ptr<int>>{});
    EXPECT_EQ(**otp::wait_response(id).value(), 7);
    otp::call(s, ask<void, 3>{});
    otp::exit_reason why = otp::try_call(s, ask<void>{}).error().cause();
    EXPECT_TRUE(why == noproc || why == otp::exit_reason("done")) << why.to_string();
  });
}

/// Takes its messages in every way that one can be taken.
struct takes_all {
  struct moved {
    using reply = int;
    std::unique_ptr<int> value;
  };
  struct looked_at {
    using reply = int;
    std::unique_ptr<int> value;
  };
  struct by_rvalue {
    using reply = int;
    std::unique_ptr<int> value;
  };
  struct constant {
    using reply = int;
  };
  struct shared {
    using reply = int;
  };
  struct total {
    using reply = int;
  };
  int handle_call(moved m) noexcept { return *std::move(m).value; }
  int handle_call(const looked_at& l) { return *l.value; }
  int handle_call(by_rvalue&& r) { return *std::exchange(r.value, nullptr); }
  int handle_call(constant) const { return sum; }
  static int handle_call(shared) { return 4; }
  int handle_call(total) { return sum; }
  template <class T>
    requires std::is_arithmetic_v<T>
  void handle_cast(T number) {
    sum += static_cast<int>(number);
  }
  void handle_cast(const std::string& text) { sum += static_cast<int>(text.size()); }
  void handle_cast(std::unique_ptr<int> number) { sum += *number; }
  int sum = 0;
};

// covers: GS-025 GS-056 GS-059
TEST(gen_server_types, a_handler_takes_by_value_reference_or_template) {
  everywhere(10, [] {
    auto s = gen_server::start<takes_all>().value();
    EXPECT_EQ(otp::call(s, takes_all::moved{std::make_unique<int>(1)}), 1);
    EXPECT_EQ(otp::call(s, takes_all::looked_at{std::make_unique<int>(2)}), 2);
    EXPECT_EQ(otp::call(s, takes_all::by_rvalue{std::make_unique<int>(3)}), 3);
    EXPECT_EQ(otp::call(s, takes_all::shared{}), 4);
    otp::cast(s, 1);
    otp::cast(s, 2.0);
    otp::cast(s, 'a');
    otp::cast(s, "text");
    otp::cast(s, std::string("text"));
    otp::cast(s, std::make_unique<int>(100));
    int number = 1000;
    otp::cast(s, number);
    const int constant = 2000;
    otp::cast(s, constant);
    EXPECT_EQ(otp::call(s, takes_all::total{}), 1 + 2 + 'a' + 4 + 4 + 100 + 1000 + 2000);
    EXPECT_EQ(otp::call(s, takes_all::constant{}), otp::call(s, takes_all::total{}));
  });
}

struct where_am_i {
  using reply = std::uintptr_t;
};
struct alignas(128) wide {
  std::uintptr_t handle_call(where_am_i) { return reinterpret_cast<std::uintptr_t>(this); }
};
struct pinned {
  pinned() = default;
  pinned(pinned&&) = delete;
  pinned(const otp::pid& owner, std::unique_ptr<int> n) : number(std::move(n)), started_by(owner) {}
  std::uintptr_t handle_call(where_am_i) { return *number + (started_by == otp::parent() ? 1U : 0U); }
  std::unique_ptr<int> number;
  otp::pid started_by;
};
struct sealed final {
  std::uintptr_t handle_call(where_am_i) { return 1; }
  void terminate(const otp::exit_reason&) { ++ends; }
  static inline int ends = 0;
};
struct common {
  virtual ~common() = default;
  virtual std::uintptr_t handle_call(where_am_i) { return 1; }
  void terminate(const otp::exit_reason&) { ++ends; }
  static inline int ends = 0;
};
struct special : virtual common {
  std::uintptr_t handle_call(where_am_i) override { return 2; }
};
struct aggregate {
  std::uintptr_t handle_call(where_am_i) { return static_cast<std::uintptr_t>(a + static_cast<int>(b.size())); }
  int a = 0;
  std::string b;
};
struct nothing {};

// covers: GS-001 GS-025 GS-078 GS-088
TEST(gen_server_types, a_server_may_be_aligned_immovable_final_derived_or_an_aggregate) {
  everywhere(10, [] {
    for (int i = 0; i < 10; ++i) {
      auto w = gen_server::start<wide>().value();
      EXPECT_EQ(otp::call(w, where_am_i{}) % 128, 0U);
    }
    auto p = gen_server::start_link<pinned>({}, otp::self(), std::make_unique<int>(5)).value();
    EXPECT_EQ(otp::call(p, where_am_i{}), 6U);
    int before = sealed::ends;
    auto f = gen_server::start<sealed>().value();
    EXPECT_EQ(otp::call(f, where_am_i{}), 1U);
    gen_server::stop(f);
    EXPECT_EQ(sealed::ends, before + 1);
    before = common::ends;
    auto d = gen_server::start<special>().value();
    EXPECT_EQ(otp::call(d, where_am_i{}), 2U);
    gen_server::stop(d);
    EXPECT_EQ(common::ends, before + 1);
    auto a = gen_server::start<aggregate>({}, 3, "four").value();
    EXPECT_EQ(otp::call(a, where_am_i{}), 7U);
    auto n = gen_server::start<nothing>().value();
    otp::send(n.pid(), 1);  // reported, and survived
    gen_server::stop(n);
    gen_server::stop(p);
  });
}

// One type's reference to another type's process.
// covers: GS-065
TEST(gen_server_types, a_server_taken_for_another_type_runs_no_code_of_it) {
  everywhere(10, [] {
    auto s = gen_server::start<special>().value();
    otp::server<common> as_base(s.pid());
    EXPECT_EQ(otp::try_call(as_base, where_am_i{}).error().cause().what(), otp::exit_reason::kind::bad_server_type);
    otp::server<takes_all> other(s.pid());
    otp::cast(other, 1);
    EXPECT_EQ(otp::call(s, where_am_i{}), 2U);
    auto id = otp::send_request(other, takes_all::total{});
    EXPECT_EQ(otp::wait_response(id).value().error().cause().what(), otp::exit_reason::kind::bad_server_type);
  });
}

}  // namespace
