// Registries: where they are found by name, the supervisor and keepers of each, its locks, its keys as names of
// servers.
//
// Rules
// 1. The tables of a runtime's registries stand in a directory: lists that only grow, under one lock, and that anyone
//    reads without it. The runtime frees it when nobody runs any more.
// 2. A registry is a supervisor; its children are its keepers, one a partition. It is there as long as the supervisor
//    is. The keepers change nothing but what rule 2 and 5 of registry_table.hpp say, and hold the locks of lock().
#include <otp/registry.hpp>

#include "behaviours/registry_table.hpp"
#include "behaviours/supervisor_report.hpp"

#include <otp/receive.hpp>
#include <otp/supervisor.hpp>

#include <algorithm>
#include <deque>
#include <unordered_map>

namespace otp {

namespace detail {

namespace {

// ---- finding -----------------------------------------------------------------------------------------------------

class registry_directory final : public kept {
 public:
  explicit registry_directory(runtime_core& core) : core_(core) {}
  ~registry_directory() override {
    for (auto& list : lists_)
      for (registry_table* t = list.load(); t;) delete std::exchange(t, t->next);
  }
  registry_table* find(const registry_name& name) const noexcept {
    for (registry_table* t = list_of(name).load(std::memory_order_acquire); t; t = t->next)  // from make()
      if (t->name_hash == name.hash() && t->name == name.text()) return t;
    return nullptr;
  }
  registry_table& make(const registry_name& name) {
    std::lock_guard lock(lock_);
    if (registry_table* t = find(name)) return *t;
    auto* t = new registry_table(core_, name.text(), name.hash());
    std::atomic<registry_table*>& list = list_of(name);
    t->next = list.load();
    list.store(t, std::memory_order_release);
    return *t;
  }

  static registry_directory& of(runtime_core& core) {
    static const char key = 0;
    return static_cast<registry_directory&>(keep_with_runtime(
        core, &key,
        [](runtime_core& in) -> std::unique_ptr<kept> { return std::make_unique<registry_directory>(in); }));
  }

 private:
  std::atomic<registry_table*>& list_of(const registry_name& name) const noexcept {
    return lists_[hash_key(name.hash()) % lists_.size()];
  }
  runtime_core& core_;
  std::mutex lock_;  // makers
  mutable std::array<std::atomic<registry_table*>, 64> lists_{};
};

std::string type_text(const registry_type& type) {
  return (type.unique ? "unique_registry<" : "duplicate_registry<") + std::string(type.key) + ", " +
         std::string(type.value) + ">";
}

// ---- keepers -----------------------------------------------------------------------------------------------------

/// Takes entries out when their process ends, and says whose turn it is under the key of a lock.
struct registry_keeper {
  struct acquire {
    using reply = std::uint64_t;
    term key;
    std::uint64_t hash;
  };
  struct give_back {
    std::uint64_t ticket;
  };

  registry_keeper(registry_table* its_table, std::size_t its_partition)
      : table(its_table), partition(its_partition), me(otp::self()) {
    table->open_partition(partition, me);
  }
  registry_keeper(const registry_keeper&) = delete;
  registry_keeper& operator=(const registry_keeper&) = delete;
  ~registry_keeper() { table->close_partition(partition, me); }

  void handle_info(const exit_signal& end) { table->remove_process(end.from); }

  void handle_call(acquire&& request, from<std::uint64_t> to) {
    auto& line = locks[request.hash];
    turn next{++last_ticket, std::move(request.key), {}, {}};
    next.watch = monitor(to.caller());
    bool first = std::none_of(line.begin(), line.end(), [&](const turn& t) { return t.key == next.key; });
    if (first)
      to.reply(next.ticket);
    else
      next.waiting = std::move(to);
    line.push_back(std::move(next));
  }
  void handle_cast(give_back done) {
    end_turn([&](const turn& t) { return t.ticket == done.ticket; });
  }
  void handle_info(const down& d) {
    end_turn([&](const turn& t) { return t.watch == d.reference; });
  }

 private:
  /// Who holds a lock, or waits for it: in order, per hash of the key.
  struct turn {
    std::uint64_t ticket;
    term key;
    ref watch;
    from<std::uint64_t> waiting;
  };
  template <class F>
  void end_turn(F&& which) {
    for (auto line = locks.begin(); line != locks.end(); ++line) {
      auto ended = std::find_if(line->second.begin(), line->second.end(), which);
      if (ended == line->second.end()) continue;
      term key = std::move(ended->key);
      bool held = !ended->waiting;
      demonitor(ended->watch, {.flush = true});
      line->second.erase(ended);
      auto next = std::find_if(line->second.begin(), line->second.end(), [&](const turn& t) { return t.key == key; });
      if (held && next != line->second.end()) std::exchange(next->waiting, {}).reply(next->ticket);
      if (line->second.empty()) locks.erase(line);
      return;
    }
  }

  registry_table* table;
  std::size_t partition;
  pid me;
  std::uint64_t last_ticket = 0;
  std::unordered_map<std::uint64_t, std::deque<turn>> locks;  // by hash of the key
};

// ---- the registry as a supervisor --------------------------------------------------------------------------------

constexpr std::string_view registry_process = "registry";

/// In the supervisor's process: the registry begins.
struct registry_plan final : plan_maker {
  registry_plan(registry_table& t, const registry_type& of, registry_options o)
      : table(t), type(of), options(std::move(o)) {}
  supervisor_plan make() override {
    table.open(type, options, self());
    supervisor_spec spec{.strategy = one_for_one};
    for (std::size_t i = 0; i < static_cast<std::size_t>(options.partitions); ++i)
      spec.children.push_back(child_function(i, [t = &table, i] {
                                return gen_server::start_link<registry_keeper>({.spawn = {.trap_exit = true}}, t, i);
                              }).modules({"otp::registry_keeper"}));
    return plan_of(supervisor_init(std::move(spec)));
  }
  registry_table& table;
  const registry_type& type;
  registry_options options;
};

std::vector<std::string> faults_of(const registry_name& name, const registry_options& options) {
  std::vector<std::string> faults;
  if (!valid_local_name(name.text()))
    faults.push_back("the name " + quoted(name.text()) +
                     " cannot be used; give 1 to 255 bytes without NUL, other than \"undefined\" and \"none\"");
  if (options.partitions < 1 || options.partitions > static_cast<int>(registry_table::partitions_max))
    faults.push_back("partitions is " + integer_text(options.partitions) + "; write 1 to " +
                     integer_text(registry_table::partitions_max));
  if (options.partition_by != partition_by::process && options.partition_by != partition_by::key)
    faults.emplace_back("partition_by is neither; write otp::partition_by::process or otp::partition_by::key");
  for (const std::string& listener : options.listeners)
    if (!valid_local_name(listener))
      faults.push_back("the listener " + quoted(listener) + " cannot be a name; give the local name of a process");
  for (const auto& [key, value] : options.meta)
    if (key.empty()) faults.emplace_back("a key of meta is empty; give each value a key");
  return faults;
}

/// A key of a registry as the name of a server that starts.
class registry_names final : public name_registry {
 public:
  registry_names(const registry_name& name, const registry_type& type) : text_(name.text()), type_(type) {}
  bool register_name(const term& key, pid process) override {
    if (process != self())
      throw bad_argument(to_string() + ": only a process can register itself; " + process.to_string() +
                         " is not the caller");
    const registry_key& wanted = key_in(key);
    return add_entry(registry_at(name(), type_, "register_name"), view(wanted), wanted.key, wanted.value).has_value();
  }
  void unregister_name(const term& key) override {
    remove_entries(registry_at(name(), type_, "unregister_name"), view(key_in(key)));
  }
  // The entry of a process that ends goes with it.
  void release_name(const term&, pid) override {}
  std::optional<pid> whereis_name(const term& key) const override {
    return find_holder(registry_at(name(), type_, "whereis_name"), view(key_in(key)));
  }
  std::string to_string() const override { return text_; }

 private:
  registry_name name() const { return registry_name(text_); }
  const registry_key& key_in(const term& key) const {
    if (const auto* held = key.get_if<registry_key>()) return *held;
    throw bad_argument(to_string() + ": " + key.to_string() + " is not one of its keys; write otp::via(registry, key)");
  }
  static key_view view(const registry_key& key) {
    return {&key.key,
            [](const void* asked, const term& stored) -> bool { return *static_cast<const term*>(asked) == stored; },
            key.hash};
  }
  std::string text_;
  const registry_type& type_;
};

}  // namespace

registry_table& registry_in(runtime_core& in, const registry_name& name, const registry_type& type, const char* what) {
  registry_table* t = registry_directory::of(in).find(name);
  if (!t || !is_there(in, pid(t->supervisor.load())))
    throw bad_argument(std::string(what) + ": there is no registry " + quoted(name.text()) +
                       "; start it first, with otp::child_registry in a supervisor");
  if (const registry_type* runs = t->type.load(); runs != &type)
    throw bad_argument(std::string(what) + ": the registry " + quoted(name.text()) + " runs as " + type_text(*runs) +
                       ", the caller takes it for " + type_text(type) + "; use one constant for one registry");
  return *t;
}

registry_table& registry_at(const registry_name& name, const registry_type& type, const char* what) {
  return registry_in(this_runtime(what), name, type, what);
}

std::shared_ptr<name_registry> names_in(const registry_name& name, const registry_type& type) {
  return std::make_shared<registry_names>(name, type);
}

child_spec registry_child(const registry_name& name, const registry_type& type, registry_options options) {
  child_spec made;
  made.id(std::string(name.text())).type(child_type::supervisor).modules({"otp::registry"});
  made.start([text = std::string(name.text()), &type, options = std::move(options)] {
    return registry::start(registry_name(text), type, options);
  });
  return made;
}

// ---- work in other processes -------------------------------------------------------------------------------------

key_lock::key_lock(registry_table& t, term key, std::uint64_t hash)
    : keeper_(t.keepers[hash_key(hash) % t.partitions.load()].load()) {
  if (!keeper_)
    throw bad_argument("lock: the keeper of registry " + quoted(t.name) + " has ended and is not back yet; try again");
  ticket_ = call(server<registry_keeper>(keeper_), registry_keeper::acquire{std::move(key), hash}, infinity);
}

key_lock::~key_lock() {
  try {
    cast(server<registry_keeper>(keeper_), registry_keeper::give_back{ticket_});
  } catch (...) {
    // No memory to say it: the keeper sees the end of this process.
  }
}

void run_in_processes(std::vector<unique_function> works) {
  std::vector<spawned> running;
  running.reserve(works.size());
  static constexpr std::string_view type = "registry dispatch";
  for (unique_function& work : works)
    running.push_back(spawn_function(std::move(work), type, {.link = true, .monitor = true}));
  std::optional<exit_reason> failed;
  for (const spawned& one : running) {
    otp::receive(when([&](const down& d) { return d.reference == one.monitor; },
                      [&](const down& d) {
                        if (!d.reason.is_normal() && !failed) failed = d.reason;
                      }));
    // A caller that traps exits has been told already.
    otp::receive(when([&](const exit_signal& e) { return e.from == one.pid; }, [](const exit_signal&) {}),
                 after(duration::zero(), [] {}));
  }
  if (failed) throw exited(std::move(*failed));
}

}  // namespace detail

using namespace detail;

result<server<registry>> registry::start(const registry_name& name, const registry_type& type,
                                         registry_options options) {
  if (auto faults = faults_of(name, options); !faults.empty())
    throw bad_argument("registry::start_link: " + joined(faults));
  registry_table& table = registry_directory::of(this_runtime("start")).make(name);
  auto made = start_supervisor(std::make_unique<registry_plan>(table, type, std::move(options)), registry_process,
                               registry_process, {.name = name.text()});
  if (!made) return std::unexpected(std::move(made.error()));
  return server<registry>(*made);
}

void registry::stop_named(const registry_name& name, exit_reason why, duration timeout) {
  stop_supervisor(name.text(), std::move(why), timeout);
}

}  // namespace otp
