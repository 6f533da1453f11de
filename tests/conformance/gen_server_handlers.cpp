// Servers: handlers of every shape that the language offers.
#include "conformance/gen_server_support.hpp"

namespace {

using namespace conformance;
namespace gen_server = otp::gen_server;

struct moved_only {
  using reply = std::unique_ptr<int>;
  std::unique_ptr<int> value;
};
struct no_default {
  explicit no_default(int v) : value(v) {}
  no_default() = delete;
  int value;
};
struct base_handlers {
  struct from_base {
    using reply = int;
  };
  int handle_call(from_base) { return 1; }
  void handle_cast(int n) { total += n; }
  int total = 0;
};
struct alignas(256) shapes final : base_handlers {
  struct constant {
    using reply = no_default;
  };
  struct by_rvalue {
    using reply = std::string;
    std::string text;
  };
  struct by_template {
    using reply = long;
    long value;
  };
  struct nothing {
    using reply = void;
  };
  struct address {
    using reply = std::uintptr_t;
  };
  struct optional {
    using reply = std::optional<int>;
    bool some;
  };
  struct reason {
    using reply = otp::exit_reason;
  };
  struct outcome {
    using reply = std::expected<int, std::string>;
    bool good;
  };
  using base_handlers::handle_call;
  using base_handlers::handle_cast;
  no_default handle_call(constant) const { return no_default(3); }
  std::string handle_call(by_rvalue&& r) { return std::move(r.text) + "!"; }
  std::unique_ptr<int> handle_call(moved_only m) { return std::move(m.value); }
  template <class Number>
    requires requires(Number n) { n.value + 1L; }
  auto handle_call(const Number& n) const {
    return n.value + 1;
  }
  static void handle_call(nothing) noexcept {}
  std::uintptr_t handle_call(address) const { return reinterpret_cast<std::uintptr_t>(this); }
  otp::call_result<std::optional<int>> handle_call(optional o, otp::from<std::optional<int>> f) {
    if (o.some)
      f.reply(5);
    else
      f.reply({});
    return otp::noreply();
  }
  otp::exit_reason handle_call(reason) { return "a reason"; }
  std::expected<int, std::string> handle_call(outcome o) {
    if (o.good) return 1;
    return std::unexpected("bad");
  }
  void handle_cast(const std::string& s) { text += s; }
  struct texts {
    using reply = std::string;
  };
  const std::string& handle_call(texts) const { return text; }
  struct totals {
    using reply = int;
  };
  int handle_call(totals) const { return total; }
  std::string text;
};
struct empty final {
  struct get {
    using reply = void;
  };
  otp::call_result<void> handle_call(get) { return otp::reply(); }
};

// covers: GS-025 GS-056
TEST(gen_server_handlers, may_have_every_shape) {
  everywhere(5, [] {
    auto s = gen_server::start<shapes>().value();
    EXPECT_EQ(otp::call(s, base_handlers::from_base{}), 1);
    EXPECT_EQ(otp::call(s, shapes::constant{}).value, 3);
    EXPECT_EQ(otp::call(s, shapes::by_rvalue{"a"}), "a!");
    EXPECT_EQ(*otp::call(s, moved_only{std::make_unique<int>(9)}), 9);
    EXPECT_EQ(otp::call(s, shapes::by_template{4}), 5);
    otp::call(s, shapes::nothing{});
    EXPECT_TRUE(otp::try_call(s, shapes::nothing{}));
    EXPECT_EQ(otp::call(s, shapes::address{}) % 256, 0U);
    EXPECT_EQ(otp::call(s, shapes::optional{true}), 5);
    EXPECT_EQ(otp::call(s, shapes::optional{false}), std::nullopt);
    EXPECT_EQ(otp::call(s, shapes::reason{}), otp::exit_reason("a reason"));
    EXPECT_EQ(otp::call(s, shapes::outcome{true}), 1);
    EXPECT_EQ(otp::try_call(s, shapes::outcome{false}).value().error(), "bad");
    otp::cast(s, 5);
    otp::cast(s, "a literal");
    otp::cast(s, std::string(" and a string"));
    EXPECT_EQ(otp::call(s, shapes::totals{}), 5);
    EXPECT_EQ(otp::call(s, shapes::texts{}), "a literal and a string");
    auto e = gen_server::start<empty>().value();
    otp::call(e, empty::get{});
  });
}

}  // namespace
