// Servers: the names they start under.
#include "conformance/gen_server_support.hpp"

namespace {

using namespace conformance;
namespace gen_server = otp::gen_server;

constexpr otp::name<collector> local_name{"gen_server_names"};

// covers: GS-014
TEST(gen_server_names, a_failed_start_has_freed_the_name_when_it_returns) {
  everywhere(20, [] {
    auto registry = std::make_shared<test_registry>();
    std::vector<otp::server_name> names{local_name, otp::global("a global name"), otp::via(registry, "key")};
    for (int i = 0; i < 10; ++i)
      for (auto& name : names)
        for (auto w : {told::what::ignore, told::what::stop, told::what::error, told::what::raise, told::what::exit}) {
          EXPECT_FALSE(gen_server::start<told>({.name = name}, w));
          EXPECT_EQ(name.whereis(), std::nullopt) << name.to_string();
          auto made = gen_server::start<told>({.name = name}, told::what::ok);
          EXPECT_EQ(name.whereis(), made.value().pid());
          gen_server::stop(made.value());
          EXPECT_EQ(name.whereis(), std::nullopt);
        }
  });
}

// covers: GS-016
TEST(gen_server_names, takes_every_kind_of_name_and_refuses_what_cannot_be_one) {
  everywhere(20, [] {
    auto registry = std::make_shared<test_registry>();
    auto local = gen_server::start<collector>({.name = local_name}).value();
    auto global = gen_server::start<collector>({.name = otp::global("g")}).value();
    auto via = gen_server::start<collector>({.name = otp::via(registry, 17)}).value();
    auto anonymous = gen_server::start<collector>().value();
    EXPECT_EQ(otp::whereis(local_name), local.pid());
    EXPECT_EQ(otp::whereis(otp::global<collector>("g")), global.pid());
    EXPECT_EQ(otp::whereis(otp::via<collector>(registry, 17)), via.pid());
    EXPECT_EQ(otp::info(anonymous).value().name, "");

    auto before = otp::process_count();
    std::vector<otp::server_name> wrong{"",     std::string(256, 'x'),   std::string_view("a\0b", 3), "undefined",
                                        "none", otp::via(nullptr, "key")};
    for (auto& name : wrong) {
      EXPECT_THROW(static_cast<void>(gen_server::start<collector>({.name = name})), otp::bad_argument);
      EXPECT_THROW(static_cast<void>(gen_server::start_link<collector>({.name = name})), otp::bad_argument);
      EXPECT_THROW(static_cast<void>(gen_server::start_monitor<collector>({.name = name})), otp::bad_argument);
    }
    EXPECT_EQ(otp::process_count(), before);
    EXPECT_TRUE(gen_server::start<collector>({.name = std::string(255, 'x')}));
  });
}

/// Tells when it is initialised.
struct witness {
  witness() { ++inits; }
  static inline std::atomic<int> inits{0};
};

// covers: GS-017
TEST(gen_server_names, a_taken_name_gives_the_holder_and_runs_no_init) {
  everywhere(20, [] {
    auto registry = std::make_shared<test_registry>();
    std::vector<otp::server_name> names{local_name, otp::global("taken"), otp::via(registry, "taken")};
    for (auto& name : names) {
      auto holder = gen_server::start<collector>({.name = name}).value();
      int before = witness::inits;
      auto check = [&](auto result) {
        ASSERT_FALSE(result);
        EXPECT_EQ(result.error(), otp::reason::already_started);
        EXPECT_EQ(result.error().process(), holder.pid());
      };
      check(gen_server::start<witness>({.name = name}));
      check(gen_server::start_link<witness>({.name = name}));
      check(gen_server::start_monitor<witness>({.name = name}));
      EXPECT_EQ(witness::inits, before);
      EXPECT_TRUE(otp::info(otp::self()).value().links.empty());
      EXPECT_TRUE(otp::info(holder).value().links.empty());
    }
    EXPECT_TRUE(mailbox_empty());
  });
}
// covers: GS-017
TEST(gen_server_names, of_many_that_race_for_a_name_one_gets_it) {
  everywhere(50, [] {
    for (otp::server_name name : {otp::server_name("contested"), otp::server_name(otp::global("contested"))}) {
      struct outcome {
        bool started;
        otp::pid who;
      };
      for (int i = 0; i < 8; ++i)
        otp::spawn([name, to = otp::self()] {
          auto made = gen_server::start<collector>({.name = name});
          otp::send(to, outcome{made.has_value(), made ? made->pid() : made.error().process()});
        });
      std::vector<otp::pid> winners, told_of;
      for (int i = 0; i < 8; ++i) {
        auto o = next<outcome>();
        (o.started ? winners : told_of).push_back(o.who);
      }
      ASSERT_EQ(winners.size(), 1U);
      for (otp::pid p : told_of) EXPECT_EQ(p, winners[0]);
      EXPECT_EQ(name.whereis(), winners[0]);
    }
  });
}

// covers: GS-020
TEST(gen_server_names, a_registry_is_asked_at_start_at_every_use_and_when_init_fails) {
  for_seeds(20, [] {
    auto registry = std::make_shared<test_registry>();
    auto name = otp::via<collector>(registry, "it");
    EXPECT_FALSE(gen_server::start<told>({.name = name}, told::what::stop));
    EXPECT_EQ(registry->registered, 1);
    EXPECT_EQ(registry->unregistered, 1);
    auto made = gen_server::start<collector>({.name = name}).value();
    EXPECT_EQ(registry->registered, 2);
    int before = registry->asked;
    for (int i = 0; i < 5; ++i) {
      otp::call(name, collector::get{});
      otp::cast(name, collector::note{"x"});
    }
    EXPECT_EQ(registry->asked, before + 10);
    registry->unregister_name("it");
    EXPECT_EQ(otp::try_call(name, collector::get{}).error().cause(), noproc);
    EXPECT_TRUE(otp::is_alive(made));
  });
}
/// Refuses to do its work.
class broken_registry final : public otp::name_registry {
 public:
  bool register_name(const otp::term&, otp::pid) override { throw std::runtime_error("no registry today"); }
  void unregister_name(const otp::term&) override { throw std::runtime_error("no registry today"); }
  std::optional<otp::pid> whereis_name(const otp::term&) const override { return std::nullopt; }
  std::string to_string() const override { return "broken"; }
};
// covers: GS-020
TEST(gen_server_names, a_registry_that_fails_is_a_failed_start) {
  for_seeds_with_journal(10, [](event_log& events) {
    auto made = gen_server::start<collector>({.name = otp::via(std::make_shared<broken_registry>(), "it")});
    EXPECT_EQ(made.error(), otp::reason::error("std::runtime_error", "no registry today"));
    EXPECT_EQ(events.count("crash"), 1U);
  });
}

}  // namespace
