// The code of docs/guide/supervisors.md, built and run.
#include "conformance/supervisor_support.hpp"

#include <map>

namespace {

using namespace std::chrono_literals;

// [workers]
struct outbox {
  struct put {
    std::string to;
  };
  struct waiting {
    using reply = std::size_t;
  };
  static constexpr otp::name<outbox> name{"outbox"};
  static auto start_link() { return otp::gen_server::start_link<outbox>({.name = name}); }

  void handle_cast(put mail) { mails.push_back(std::move(mail.to)); }
  std::size_t handle_call(waiting) { return mails.size(); }

  std::vector<std::string> mails;
};

struct relay {
  explicit relay(std::string to) : host(std::move(to)) { otp::trap_exit(true); }  // so that terminate runs
  void terminate(const otp::exit_reason&) { /* say goodbye to the host */ }

  std::string host;
};
// [/workers]

// [tree]
struct mail {
  static otp::supervisor_spec init(const std::vector<std::string>& hosts) {
    otp::supervisor_spec spec{
        .strategy = otp::rest_for_one,
        .max_restarts = 5,
        .max_seconds = 10s,
        .children = {otp::child<outbox>()},
    };
    for (auto& host : hosts)
      spec.children.push_back(otp::child<relay>(host).id("relay", host).restart(otp::transient).shutdown(30s));
    return spec;
  }
};

otp::result<otp::server<mail>> start_mail(std::vector<std::string> hosts) {
  return otp::supervisor::start_link<mail>({.name = "mail"}, std::move(hosts));
}
// [/tree]

// [function]
struct tick {};

otp::child_spec ticker(std::chrono::milliseconds period) {
  return otp::child_function("ticker", [period] {
    return otp::spawn_link([period] {
      for (;;) {
        otp::sleep(period);
        otp::send("clock", tick());
      }
    });
  });
}
// [/function]

// [replace]
otp::result<otp::child_started> replace_relay(const std::string& old_host, const std::string& new_host) {
  otp::child_id old("relay", old_host);
  if (auto stopped = otp::supervisor::terminate_child("mail", old); !stopped)
    return std::unexpected(stopped.error());  // not_found
  static_cast<void>(otp::supervisor::delete_child("mail", old));
  return otp::supervisor::start_child("mail", otp::child<relay>(new_host).id("relay", new_host));
}
// [/replace]

// [dynamic]
struct session {
  explicit session(std::string of) : user(std::move(of)) {}
  std::string user;
};

otp::child_spec sessions() { return otp::child_dynamic_supervisor({.name = "sessions"}, {.max_children = 10'000}); }

otp::result<otp::pid> open_session(std::string user) {
  auto made =
      otp::dynamic_supervisor::start_child("sessions", otp::child<session>(std::move(user)).restart(otp::temporary));
  if (!made) return std::unexpected(made.error());  // max_children, or why it did not start
  return made->process;
}
// [/dynamic]

// [simple]
otp::supervisor_spec one_session_each() {
  return {.strategy = otp::simple_one_for_one, .children = {otp::child_template<session, std::string>()}};
}

otp::result<otp::child_started> open_session(otp::pid supervisor, const std::string& user) {
  return otp::supervisor::start_child(supervisor, otp::extra(user));
}
// [/simple]

// [partition]
struct page_counter {
  struct hit {
    std::string page;
  };
  struct hits {
    using reply = int;
    std::string page;
  };
  void handle_cast(const hit& h) { ++seen[h.page]; }
  int handle_call(const hits& h) { return seen[h.page]; }

  std::map<std::string, int> seen;
};

otp::child_spec page_counters() {
  return otp::child_partition_supervisor({.name = "pages"}, {.child = otp::child<page_counter>(), .partitions = 8});
}

void count_hit(const std::string& page) {
  otp::cast(otp::partition<page_counter>("pages", page), page_counter::hit{page});
}
// [/partition]

// [significant]
otp::supervisor_spec import(otp::child_spec reader, otp::child_spec writer) {
  return {
      .strategy = otp::one_for_all,  // half an import is of no use
      .max_restarts = 1,
      .auto_shutdown = otp::any_significant,
      .children = {std::move(reader), std::move(writer).restart(otp::transient).significant()},
  };
}
// [/significant]

// [look]
std::string children_of(const otp::supervisor_ref& supervisor) {
  std::string text;
  for (auto& child : otp::supervisor::which_children(supervisor)) {
    text += child.id.to_string();
    if (child.state == otp::child_state::running) text += " " + child.process.to_string();
    if (child.state == otp::child_state::restarting) text += " restarting";
    text += "\n";
  }
  return text;
}
// [/look]

}  // namespace

using namespace conformance;

// [test]
TEST(mail, a_relay_that_crashes_is_back_and_the_outbox_keeps_its_mails) {
  for (unsigned seed = 1; seed <= 10; ++seed)
    otp::testing::run({.seed = seed}, [] {
      start_mail({"a.example", "b.example"}).value();
      otp::cast(outbox::name, outbox::put{"ada"});

      otp::pid before = otp::supervisor::get_child("mail", {"relay", "a.example"})->process;
      otp::exit(before, otp::reason::kill);
      otp::testing::settle();  // everything that can happen has happened; no time has passed

      EXPECT_NE(otp::supervisor::get_child("mail", {"relay", "a.example"})->process, before);
      EXPECT_EQ(otp::call(outbox::name, outbox::waiting()), 1U);
    });
}
// [/test]

TEST(supervisor_guide, the_code_of_the_page_does_what_the_page_says) {
  supervised(10, [] {
    auto sup = start_mail({"a", "b"}).value();
    EXPECT_EQ(ids_of(sup).size(), 3U);
    // rest_for_one: those after the outbox go with it; a transient child that ends well stays away.
    otp::pid a = process_of(sup, {"relay", "a"});
    otp::exit(otp::whereis("outbox").value(), otp::reason::kill);
    EXPECT_NE(new_process(sup, {"relay", "a"}, a), a);
    EXPECT_EQ(replace_relay("none", "c").error(), otp::reason::not_found);
    otp::pid c = replace_relay("a", "c").value().process;
    EXPECT_EQ(process_of(sup, {"relay", "c"}), c);
    EXPECT_EQ(otp::supervisor::get_child(sup, {"relay", "a"}).error(), otp::reason::not_found);
    EXPECT_EQ(children_of(sup).find("{\"relay\", \"c\"} " + c.to_string()), 0U) << children_of(sup);
    otp::supervisor::stop(sup);
    static_cast<void>(exit_from(sup));

    otp::register_name("clock", otp::self());
    auto above = otp::supervisor::start_link(
                     {.strategy = otp::one_for_one, .children = {ticker(10ms), sessions(), page_counters()}})
                     .value();
    next<tick>();
    next<tick>();
    otp::pid ada = open_session("ada").value();
    EXPECT_TRUE(otp::is_alive(ada));
    EXPECT_EQ(otp::dynamic_supervisor::count_children("sessions").active, 1U);
    for (int i = 0; i < 3; ++i) count_hit("index");
    EXPECT_EQ(otp::call(otp::partition<page_counter>("pages", "index"), page_counter::hits{"index"}), 3);
    otp::supervisor::stop(above);
    static_cast<void>(exit_from(above));

    auto simple = otp::supervisor::start_link(one_session_each()).value();
    EXPECT_TRUE(otp::is_alive(open_session(simple, "ada").value().process));
    otp::supervisor::stop(simple);
    static_cast<void>(exit_from(simple));
  });
}

TEST(supervisor_guide, an_import_is_over_when_its_writer_is_done) {
  supervised(10, [] {
    journal log;
    auto sup = otp::supervisor::start_link(import(unit_spec(log, "reader"), unit_spec(log, "writer"))).value();
    otp::pid reader = process_of(sup, "reader");
    finish(process_of(sup, "writer"), "crash");
    EXPECT_NE(new_process(sup, "reader", reader), reader);
    EXPECT_TRUE(otp::is_alive(sup));
    finish(process_of(sup, "writer"), normal);
    EXPECT_EQ(exit_from(sup), shutdown);
    EXPECT_EQ(log.take(), (strings{"+reader", "+writer", "-writer \"crash\"", "-reader shutdown", "+reader", "+writer",
                                   "-writer normal", "-reader shutdown"}));
  });
}
