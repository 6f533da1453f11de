#!/usr/bin/env python3
"""Measures the same works on this library, on the BEAM and on CAF, and prints one table.

The runtimes take turns, round by round, each time in a fresh process; the table holds medians. Called by bench/run,
which installs what is needed.
"""
import argparse
import dataclasses
import datetime
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys

BENCH = pathlib.Path(__file__).resolve().parent
ROOT = BENCH.parent
SUPPORT = BENCH / "support"
PEERS = ROOT / "build" / "bench"  # what is compiled of the other runtimes' programs
RUNTIMES = {"ours": "ours", "beam": "BEAM", "caf": "CAF"}
RESULT = re.compile(r"^RESULT (\S+) (\S+) (\S+)$", re.M)
MARKS = ("<!-- results: begin, written by bench/run --write -->\n", "<!-- results: end -->\n")


class Failure(Exception):
    """Ends the run; its text tells the user why."""


# --- the works and the goals -----------------------------------------------------------------------------------------


@dataclasses.dataclass
class Row:
    """One line of goals.tsv."""

    row: str
    work: str
    unit: str
    times: float | None
    limit: float | None
    stretch: float | None
    what: str

    @property
    def more_is_better(self):
        return self.unit == "per_s"

    def reaches(self, value, bound):
        return value >= bound if self.more_is_better else value <= bound

    def times_better(self, ours, theirs):
        return ours / theirs if self.more_is_better else theirs / ours


def read_goals():
    lines = [line for line in (BENCH / "goals.tsv").read_text().splitlines() if line and not line.startswith("#")]
    names, *rest = (line.split("\t") for line in lines)
    number = lambda text: None if text == "-" else float(text)
    rows = []
    for cells in rest:
        cell = dict(zip(names, cells, strict=True))
        for goal in ("times", "limit", "stretch"):
            cell[goal] = number(cell[goal])
        rows.append(Row(**cell))
    return rows


def source_of(work, runtime):
    """The program of a work on a runtime, or None."""
    for name in {"ours": ("otp_bench.cpp", "otp.cpp"), "beam": ("beam.erl",), "caf": ("caf.cpp",)}[runtime]:
        if (BENCH / work / name).is_file():
            return BENCH / work / name
    return None


def remark(source, key):
    """What a line `%% key: value` or `// key: value` of a program says about how to run it."""
    match = re.search(rf"^(?:%%|//) {key}: (.*)$", source.read_text(), re.M)
    return match[1].strip() if match else None


# --- building --------------------------------------------------------------------------------------------------------


def build_step(command, what):
    run = subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if run.returncode != 0:
        raise Failure(f"{run.stdout}\n{what} does not compile; the command was:\n  {' '.join(map(str, command))}")


def is_newer(target, sources):
    return target.exists() and all(target.stat().st_mtime >= source.stat().st_mtime for source in sources)


def build_beam(works):
    shared = sorted(SUPPORT.glob("*.erl"))
    PEERS.joinpath("beam").mkdir(parents=True, exist_ok=True)
    for source in shared:
        target = PEERS / "beam" / f"{source.stem}.beam"
        if not is_newer(target, [source]):
            build_step(["erlc", "-Werror", "-o", target.parent, source], source.relative_to(ROOT))
    for work in works:
        source = source_of(work, "beam")
        target = PEERS / "beam" / work / "beam.beam"
        if source and not is_newer(target, [source]):
            target.parent.mkdir(exist_ok=True)
            build_step(["erlc", "-Werror", "-o", target.parent, source], source.relative_to(ROOT))


def build_caf(works):
    headers = sorted(SUPPORT.glob("*.hpp"))
    PEERS.mkdir(parents=True, exist_ok=True)
    for work in works:
        source = source_of(work, "caf")
        target = PEERS / f"caf_{work}"
        if source and not is_newer(target, [source, *headers]):
            # CMake's Release flags, so that nobody is compiled with less care; C++17 is what CAF 0.17 knows.
            build_step(["g++", "-std=c++17", "-O3", "-DNDEBUG", "-Wall", "-Wextra", "-Werror", f"-I{SUPPORT}", source,
                        "-o", target, "-lcaf_core", "-pthread"], source.relative_to(ROOT))


def build_ours(works, folder):
    """Builds our programs; returns whether there are any."""
    if not any(source_of(work, "ours") for work in works):
        print("ours: there are no programs for these works yet", file=sys.stderr)
        return False
    if not (ROOT / "CMakePresets.json").is_file():
        print("ours: not measured, there is no CMakePresets.json", file=sys.stderr)
        return False
    print("building", file=sys.stderr, flush=True)
    build_step(["cmake", "--preset", "release", "-B", folder, "-DOTP_BUILD_BENCH=ON"], "the release preset")
    build_step(["cmake", "--build", folder, "--target", "benchmarks", "-j", str(os.cpu_count())],
               "our side (--peers leaves it out)")
    return True


# --- running ---------------------------------------------------------------------------------------------------------


def command_of(work, runtime, quick, folder, rows):
    source = source_of(work, runtime)
    if runtime == "beam":
        options = (remark(source, "erl") or "").split()
        return ["erl", *options, "-noshell", "-noinput", "-pa", str(PEERS / "beam"), str(PEERS / "beam" / work),
                "-s", "beam", "run", "quick" if quick else "full", "-s", "erlang", "halt"]
    if runtime == "caf":
        command = [str(PEERS / f"caf_{work}")]
    elif source.name == "otp_bench.cpp":
        command = [str(folder / "bench" / "otp_bench"), *(name for name, row in rows.items() if row.work == work)]
    else:
        command = [str(folder / "bench" / f"bench_{work}")]
    return command + (["--quick"] if quick else [])


def environment():
    """Ours, without what changes the emulator behind the table's back, and without crash dumps."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ERL_")}
    return kept | {"ERL_CRASH_DUMP_BYTES": "0"}


def measure_once(work, runtime, quick, folder, rows):
    """Runs one program; returns {row: value}. Raises Failure if it does not do what it promises."""
    budget = 60 if quick else 1800
    command = command_of(work, runtime, quick, folder, rows)
    try:
        run = subprocess.run(command, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, timeout=budget, env=environment())
    except subprocess.TimeoutExpired:
        raise Failure(f"took longer than {budget} s") from None
    except OSError as error:
        raise Failure(str(error)) from None
    if run.returncode != 0:
        raise Failure(f"ended with code {run.returncode}: {(run.stderr or run.stdout).strip()[-2000:]}")
    values = {}
    for row, value, unit in RESULT.findall(run.stdout):
        if row not in rows or rows[row].unit != unit:
            raise Failure(f"printed '{row}' in '{unit}', which goals.tsv does not have")
        values[row] = float(value)
    if not values:
        raise Failure("printed no RESULT line")
    return values


def measure(works, runtimes, rounds, quick, folder, rows):
    """Returns ({row: {runtime: [value, ...]}}, [text of each failure])."""
    samples = {}
    failures = []
    for work in works:
        broken = set()
        present = [runtime for runtime in runtimes if source_of(work, runtime)]
        for number in range(rounds):
            said = []
            turn = number % len(present) if present else 0  # nobody always comes first
            for runtime in present[turn:] + present[:turn]:
                limit = None if quick else remark(source_of(work, runtime), "full rounds")
                if runtime in broken or (limit and number >= int(limit)):
                    continue
                try:
                    values = measure_once(work, runtime, quick, folder, rows)
                except Failure as failure:
                    broken.add(runtime)
                    failures.append(f"{work} on {RUNTIMES[runtime]} {failure}")
                    said.append(f"{RUNTIMES[runtime]} failed")
                    continue
                for row, value in values.items():
                    samples.setdefault(row, {}).setdefault(runtime, []).append(value)
                said.append(f"{RUNTIMES[runtime]} " + " ".join(figure(value) for value in values.values()))
            print(f"{work:<10} {number + 1}/{rounds}  {'   '.join(said)}", file=sys.stderr, flush=True)
    return samples, failures


# --- the table -------------------------------------------------------------------------------------------------------


def figure(value):
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.1f}"


def spread_percent(values):
    middle = statistics.median(values)
    return 100 * (max(values) - min(values)) / middle if middle else 0.0


def goal_text(row):
    sign = ">=" if row.more_is_better else "<="
    parts = []
    if row.times is not None:
        parts.append(f"{row.times:g} x BEAM")
    if row.limit is not None:
        parts.append(f"{sign} {row.limit:,.0f}")
    if row.stretch is not None:
        parts.append(f"(stretch {sign} {row.stretch:,.0f})")
    return " ".join(parts) or "-"


def is_met(row, ours, beam):
    """True, False, or None where there is nothing to judge."""
    if ours is None or (row.times is None and row.limit is None):
        return None
    if row.times is not None and beam is None:
        return None
    reached = row.times is None or row.times_better(ours, beam) >= row.times
    return reached and (row.limit is None or row.reaches(ours, row.limit))


def evaluate(rows, samples):
    """One dictionary a row: what --json writes, and the table shows."""
    lines = []
    for row in rows:
        found = samples.get(row.row, {})
        medians = {runtime: statistics.median(found[runtime]) if runtime in found else None for runtime in RUNTIMES}
        ours, beam, caf = (medians[runtime] for runtime in RUNTIMES)
        line = {"row": row.row, "work": row.work, "what": row.what, "unit": row.unit}
        for runtime in RUNTIMES:
            line[runtime] = None if runtime not in found else {
                "median": medians[runtime], "spread_percent": round(spread_percent(found[runtime]), 1),
                "samples": found[runtime]}
        line["times_beam"] = row.times_better(ours, beam) if ours and beam else None
        line["times_caf"] = row.times_better(ours, caf) if ours and caf else None
        line["goal"] = goal_text(row)
        line["met"] = is_met(row, ours, beam)
        line["stretch_met"] = row.reaches(ours, row.stretch) if ours is not None and row.stretch is not None else None
        lines.append(line)
    return lines


def cell(measured):
    return f"{figure(measured['median'])} ({measured['spread_percent']:.0f} %)" if measured else "-"


def table(lines):
    """A Markdown table, its columns padded so that a terminal shows one too."""
    cells = [["work", "unit", *RUNTIMES.values(), "x BEAM", "x CAF", "goal", "met"]]
    for line in lines:
        times = [f"{line[key]:.1f}" if line[key] else "-" for key in ("times_beam", "times_caf")]
        met = {True: "yes", False: "no", None: "-"}[line["met"]] + (", stretch" if line["stretch_met"] else "")
        measured = [cell(line[runtime]) for runtime in RUNTIMES]
        cells.append([line["what"], line["unit"].replace("per_s", "1/s"), *measured, *times, line["goal"], met])
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    right = range(2, 7)
    pad = lambda text, i: text.rjust(widths[i]) if i in right else text.ljust(widths[i])
    drawn = ["| " + " | ".join(pad(text, i) for i, text in enumerate(row)) + " |" for row in cells]
    rules = ("-" * (width + 1) + (":" if i in right else "-") for i, width in enumerate(widths))
    drawn.insert(1, "|" + "|".join(rules) + "|")
    return "\n".join(drawn) + "\n"


# --- where and with what ---------------------------------------------------------------------------------------------


def output_of(*command):
    try:
        return subprocess.run(command, cwd=ROOT, text=True, stdin=subprocess.DEVNULL, capture_output=True,
                              env=environment()).stdout.strip()
    except OSError:
        return ""


def versions():
    erlang = output_of("erl", "-noshell", "-noinput", "-eval",
                       'io:format("Erlang/OTP ~s, erts ~s, ~s", [erlang:system_info(otp_release), '
                       "erlang:system_info(version), erlang:system_info(emu_flavor)]), halt().")
    caf = re.search(r"CAF_VERSION (\d+)", pathlib.Path("/usr/include/caf/config.hpp").read_text())
    number = int(caf[1]) if caf else 0
    commit = output_of("git", "describe", "--always", "--dirty")
    return {"ours": commit or "unknown", "beam": erlang,
            "caf": f"{number // 10000}.{number // 100 % 100}.{number % 100}",
            "compiler": output_of("g++", "--version").partition("\n")[0]}


def machine():
    cpu = re.search(r"^model name\s*:\s*(.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    memory = re.search(r"^MemTotal:\s*(\d+)", pathlib.Path("/proc/meminfo").read_text(), re.M)
    return {"cpu": cpu[1] if cpu else "unknown", "cores": os.cpu_count(), "memory_gib": round(int(memory[1]) / 2**20),
            "kernel": ".".join(os.uname().release.split(".")[:2]), "load_at_start": round(os.getloadavg()[0], 2)}


def description(report):
    place, version = report["machine"], report["versions"]
    rounds = f"{report['rounds']} round" + ("s" if report["rounds"] > 1 else "")
    ours = f"Ours: {version['ours']}. " if any(line["ours"] for line in report["rows"]) else ""
    return (f"{report['date']}, {place['cpu']}, {place['cores']} cores, {place['memory_gib']} GiB, Linux "
            f"{place['kernel']}, load average {place['load_at_start']} at the start.\n"
            f"{ours}BEAM: {version['beam']}. CAF: {version['caf']}. {version['compiler']}.\n"
            f"`{report['command']}`: medians of {rounds}; in brackets the spread, "
            "(largest - smallest) / median.\n")


def write_readme(report):
    page = BENCH / "README.md"
    text = page.read_text()
    start, end = text.find(MARKS[0]), text.find(MARKS[1])
    if start < 0 or end < start:
        raise Failure(f"bench/README.md lacks the marks '{MARKS[0].strip()}' and '{MARKS[1].strip()}'")
    start += len(MARKS[0])
    page.write_text(text[:start] + "\n" + description(report) + "\n" + table(report["rows"]) + "\n" + text[end:])


# --- the command -----------------------------------------------------------------------------------------------------


def positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def parse(works):
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="short runs and small sizes, 3 rounds")
    parser.add_argument("--only", metavar="WORK", action="append", choices=works, default=[],
                        help=f"only this work; may be given more than once: {', '.join(works)}")
    parser.add_argument("--rounds", type=positive, metavar="N", help="rounds (default 5, with --quick 3)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write everything measured to FILE")
    parser.add_argument("--write", action="store_true", help="put the table into bench/README.md")
    parser.add_argument("--peers", action="store_true", help="leave our own side out")
    parser.add_argument("--build", type=pathlib.Path, metavar="DIR", default=ROOT / "build" / "release",
                        help="build folder of our side (default build/release)")
    options = parser.parse_args()
    if options.write and options.only:
        parser.error("--write needs all works, so it does not go with --only")
    if options.json and not options.json.absolute().parent.is_dir():
        parser.error(f"--json: there is no folder {options.json.absolute().parent}")
    options.rounds = options.rounds or (3 if options.quick else 5)
    options.build = options.build.absolute()
    return options


def main():
    rows = read_goals()
    works = list(dict.fromkeys(row.work for row in rows))
    options = parse(works)
    chosen = [work for work in works if not options.only or work in options.only]
    rows = [row for row in rows if row.work in chosen]

    build_beam(chosen)
    build_caf(chosen)
    with_ours = not options.peers and build_ours(chosen, options.build)
    runtimes = [runtime for runtime in RUNTIMES if runtime != "ours" or with_ours]

    place = machine()
    if place["load_at_start"] > 0.5:
        print(f"The load average is {place['load_at_start']}: other programs are running, the figures will be off.",
              file=sys.stderr)
    samples, failures = measure(chosen, runtimes, options.rounds, options.quick, options.build,
                                {row.row: row for row in rows})
    report = {"date": datetime.date.today().isoformat(), "command": " ".join(["bench/run", *sys.argv[1:]]),
              "quick": options.quick, "rounds": options.rounds, "machine": place, "versions": versions(),
              "rows": evaluate(rows, samples), "failures": failures}

    print(f"\n{description(report)}\n{table(report['rows'])}")
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    if failures:
        raise Failure("\n".join(failures))
    if options.write:
        write_readme(report)


try:
    main()
except Failure as failure:
    sys.exit(f"bench/run: {failure}")
except KeyboardInterrupt:
    sys.exit(130)
