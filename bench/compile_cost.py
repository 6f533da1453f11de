"""What a user's file costs to compile: time and memory of g++, beside CAF's file that does the same.

The sources are generated: a server whose every request has a type, a handler and a call of its own, and a state machine
that goes round. CAF's are written as its manual for 0.17 does: atoms for the kinds of messages, dynamically typed
actors (its typed ones take longer), a behaviour a state.
"""
import os
import resource
import statistics
import subprocess
import sys

from place import PEERS, ROOT, Failure, drawn_table, header, machine, versions

LIMIT_SECONDS = 60  # processor time of one compilation; what takes longer is ended and said to
OPTIMISATIONS = ("-O0", "-O2")
FLAGS = {"ours": ["-std=c++23", f"-I{ROOT / 'include'}"], "caf": ["-std=c++17"]}


# --- the sources -----------------------------------------------------------------------------------------------------


def our_server(handlers):
    each = range(handlers)
    return "\n".join([
        "#include <otp/otp.hpp>", "#include <string>", "", "struct server {",
        *(f"  struct request_{i} {{ using reply = int; std::string key; int value; }};" for i in each),
        '  static constexpr otp::name<server> name{"server"};',
        *(f"  int handle_call(const request_{i}& r) {{ return total += r.value + int(r.key.size()) + {i}; }}"
          for i in each),
        "  int total = 0;", "};", "",
        *(f'int call_{i}() {{ return otp::call(server::name, server::request_{i}{{"key", {i}}}); }}' for i in each),
        "", "int main() {", "  return otp::run([] {",
        "    otp::gen_server::start_link<server>({.name = server::name}).value();",
        *(f"    call_{i}();" for i in each), "  });", "}", ""])


def caf_server(handlers):
    each = range(handlers)
    return "\n".join([
        "#include <caf/all.hpp>", "#include <string>", "",
        *(f'using request_{i} = caf::atom_constant<caf::atom("req{i}")>;' for i in each), "",
        "struct server_state { int total = 0; };", "",
        "caf::behavior server(caf::stateful_actor<server_state>* self) {", "  return {",
        *(f"      [=](request_{i}, const std::string& key, int value) "
          f"{{ return self->state.total += value + int(key.size()) + {i}; }}," for i in each),
        "  };", "}", "",
        *(f"int call_{i}(caf::scoped_actor& self, const caf::actor& to) {{\n  int answer = 0;\n"
          f'  self->request(to, std::chrono::seconds(5), request_{i}::value, std::string("key"), {i})\n'
          f"      .receive([&](int value) {{ answer = value; }}, [](const caf::error&) {{ std::abort(); }});\n"
          f"  return answer;\n}}" for i in each),
        "", "int main() {", "  caf::actor_system_config config;", "  caf::actor_system system{config};",
        "  caf::scoped_actor self{system};", "  const caf::actor to = system.spawn(server);",
        *(f"  call_{i}(self, to);" for i in each),
        "  self->send_exit(to, caf::exit_reason::user_shutdown);", "}", ""])


def our_machine(states):
    each = range(states)
    following = lambda i: (i + 1) % states
    return "\n".join([
        "#include <otp/otp.hpp>", "", "struct machine {",
        *(f"  struct state_{i} {{ int visits = 0; }};" for i in each),
        f"  using states = otp::states<{', '.join(f'state_{i}' for i in each)}>;",
        "  struct next { using reply = int; };", "  using events = otp::events<next>;",
        *(f"  otp::step<int, state_{following(i)}> on(state_{i}& s, next) "
          f"{{ return otp::go(state_{following(i)}{{s.visits + 1}}).reply(s.visits); }}" for i in each),
        "};", "", "int main() {", "  return otp::run([] {",
        "    auto started = otp::gen_statem::start_link<machine>().value();",
        f"    for (int i = 0; i < {states}; ++i) otp::call(started, machine::next{{}});", "  });", "}", ""])


def caf_machine(states):
    each = range(states)
    following = lambda i: (i + 1) % states
    return "\n".join([
        "#include <caf/all.hpp>", "", 'using next = caf::atom_constant<caf::atom("next")>;', "",
        "struct machine_state { int visits = 0; };", "using machine = caf::stateful_actor<machine_state>;", "",
        *(f"caf::behavior state_{i}(machine* self);" for i in each), "",
        *(f"caf::behavior state_{i}(machine* self) {{\n  return {{[=](next) {{\n"
          f"    self->become(state_{following(i)}(self));\n    return self->state.visits++;\n  }}}};\n}}" for i in each),
        "", "int main() {", "  caf::actor_system_config config;", "  caf::actor_system system{config};",
        "  caf::scoped_actor self{system};", "  const caf::actor started = system.spawn(state_0);",
        f"  for (int i = 0; i < {states}; ++i)",
        "    self->request(started, std::chrono::seconds(5), next::value)",
        "        .receive([](int) {}, [](const caf::error&) { std::abort(); });",
        "  self->send_exit(started, caf::exit_reason::user_shutdown);", "}", ""])


SOURCES = {  # name: (what, ours, CAF's)
    "umbrella": ("the umbrella header alone", "#include <otp/otp.hpp>\n", "#include <caf/all.hpp>\n"),
    "server": ("a server with one request", our_server(1), caf_server(1)),
    "handlers_10": ("a server with 10 requests", our_server(10), caf_server(10)),
    "handlers_50": ("a server with 50 requests", our_server(50), caf_server(50)),
    "handlers_200": ("a server with 200 requests", our_server(200), caf_server(200)),
    "machine_20": ("a state machine of 20 states", our_machine(20), caf_machine(20)),
}


# --- compiling -------------------------------------------------------------------------------------------------------


def compile_once(source, runtime, optimisation):
    """Processor seconds and peak MB of one compilation; None if it takes longer than the limit."""
    command = ["g++", *FLAGS[runtime], optimisation, "-c", str(source), "-o", os.devnull]
    limit = lambda: resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_SECONDS, LIMIT_SECONDS))  # of each of its processes
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=limit)
    said = child.stderr.read().decode()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = status
    seconds = usage.ru_utime + usage.ru_stime
    if status != 0 and seconds < LIMIT_SECONDS:
        raise Failure(f"{said}\n{source} does not compile; the command was:\n  {' '.join(command)}")
    return (seconds, usage.ru_maxrss / 1024) if status == 0 else None


def measure(chosen, options):
    folder = PEERS / "sources"
    folder.mkdir(parents=True, exist_ok=True)
    report = {"machine": machine(), "versions": versions(), "failures": [], "rows": []}
    runtimes = ["caf"] if options.peers else ["ours", "caf"]
    report["rounds"] = rounds = min(options.rounds, 3)
    for name in chosen:
        what, *texts = SOURCES[name]
        row = {"row": name, "what": what}
        for runtime, text in zip(("ours", "caf"), texts):
            if runtime not in runtimes:
                continue
            source = folder / f"{name}_{runtime}.cpp"
            source.write_text(text)
            for optimisation in OPTIMISATIONS:
                too_slow = row.get(f"{runtime}-O0", ()) is None  # and so it would be at -O2
                first = None if too_slow else compile_once(source, runtime, optimisation)
                # What takes long is measured once: its spread is small, and the whole must end in time.
                again = rounds - 1 if first and first[0] < 3 else 0
                runs = [first, *(compile_once(source, runtime, optimisation) for _ in range(again))]
                key = f"{runtime}{optimisation}"
                row[key] = None if first is None else {
                    "seconds": statistics.median(run[0] for run in runs), "mb": max(run[1] for run in runs),
                    "samples": [run[0] for run in runs]}
                print(f"{name:<13} {key:<8} {cell(row[key])}", file=sys.stderr, flush=True)
        report["rows"].append(row)
    return report


# --- the page --------------------------------------------------------------------------------------------------------


def cell(measured):
    return f"{measured['seconds']:.2f} s, {measured['mb']:,.0f} MB" if measured else f"over {LIMIT_SECONDS} s"


def page(report):
    keys = [f"{runtime}{optimisation}" for optimisation in OPTIMISATIONS for runtime in ("ours", "caf")]
    names = {"ours": "ours", "caf": "CAF"}
    cells = [["file", *(f"{names[key[:-3]]}, `{key[-3:]}`" for key in keys), *(f"x CAF, `{o}`" for o in OPTIMISATIONS)]]
    for row in report["rows"]:
        ratio = lambda o: (f"{row[f'caf{o}']['seconds'] / row[f'ours{o}']['seconds']:.1f}"
                           if row.get(f"caf{o}") and row.get(f"ours{o}") else "-")
        cells.append([row["what"], *(cell(row[key]) if key in row else "-" for key in keys),
                      *(ratio(o) for o in OPTIMISATIONS)])
    return (f"{header(report, ['ours', 'caf'])}`{report['command']}`: processor seconds of `g++ -c`, the middle one of "
            f"up to {report['rounds']}; the most memory that it took.\n\n"
            + drawn_table(cells, right=range(1, len(cells[0]))))
