#!/usr/bin/env python3
"""Measures the same works on this library, on the BEAM, on CAF and in Go, and prints one table.

The runtimes take turns, round by round, each time in a fresh process; the table holds medians. Called by bench/run,
which installs what is needed.
"""
import argparse
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys

import compile_cost
import growth
from place import BENCH, PEERS, ROOT, SUPPORT, Failure, build_ours, build_step, environment, header, machine, versions
from place import drawn_table, write_part

RUNTIMES = {"ours": "ours", "beam": "BEAM", "caf": "CAF", "go": "Go"}
PROGRAMS = {"ours": ("otp_bench.cpp", "otp.cpp"), "beam": ("beam.erl",), "caf": ("caf.cpp",), "go": ("go.go",)}
RESULT = re.compile(r"^RESULT (\S+) (\S+) (\S+)$", re.M)
PEER_RUNTIMES = tuple(runtime for runtime in RUNTIMES if runtime != "ours")
SLOWER = 1.10  # a peer that is faster by more than this is named under the table

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


def read_goals(table):
    lines = [line for line in (BENCH / table).read_text().splitlines() if line and not line.startswith("#")]
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
    for name in PROGRAMS[runtime]:
        if (BENCH / work / name).is_file():
            return BENCH / work / name
    return None


def remark(source, key):
    """What a line `%% key: value` or `// key: value` of a program says about how to run it."""
    match = re.search(rf"^(?:%%|//) {key}: (.*)$", source.read_text(), re.M)
    return match[1].strip() if match else None


# --- building --------------------------------------------------------------------------------------------------------


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
            target.parent.mkdir(parents=True, exist_ok=True)
            build_step(["erlc", "-Werror", "-o", target.parent, source], source.relative_to(ROOT))


def build_caf(works):
    headers = sorted(SUPPORT.glob("*.hpp"))
    PEERS.mkdir(parents=True, exist_ok=True)

    def build(work):
        source = source_of(work, "caf")
        target = PEERS / f"caf_{work}"
        if source and not is_newer(target, [source, *headers]):
            # CMake's Release flags, so that nobody is compiled with less care; C++17 is what CAF 0.17 knows.
            build_step(["g++", "-std=c++17", "-O3", "-DNDEBUG", "-Wall", "-Wextra", "-Werror", f"-I{SUPPORT}", source,
                        "-o", target, "-lcaf_core", "-pthread"], source.relative_to(ROOT))

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(build, works))


def build_go(works):
    PEERS.mkdir(parents=True, exist_ok=True)
    for work in works:
        source = source_of(work, "go")
        target = PEERS / f"go_{work}"
        if source and not is_newer(target, [source]):
            build_step(["go", "build", "-o", target, source], source.relative_to(ROOT))


# --- running ---------------------------------------------------------------------------------------------------------


def command_of(work, runtime, quick, folder, rows):
    source = source_of(work, runtime)
    if runtime == "beam":
        options = (remark(source, "erl") or "").split()
        return ["erl", *options, "-noshell", "-noinput", "-pa", str(PEERS / "beam"), str(PEERS / "beam" / work),
                "-s", "beam", "run", "quick" if quick else "full", "-s", "erlang", "halt"]
    if runtime in ("caf", "go"):
        command = [str(PEERS / f"{runtime}_{work}")]
    elif source.name == "otp_bench.cpp":
        command = [str(folder / "bench" / "otp_bench"), *(name for name, row in rows.items() if row.work == work)]
    else:
        command = [str(folder / "bench" / f"bench_{work}")]
    return command + (["--quick"] if quick else [])


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
            raise Failure(f"printed '{row}' in '{unit}', which no row of the table has")
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
        ours, beam = medians["ours"], medians["beam"]
        line = {"row": row.row, "work": row.work, "what": row.what, "unit": row.unit}
        for runtime in RUNTIMES:
            line[runtime] = None if runtime not in found else {
                "median": medians[runtime], "spread_percent": round(spread_percent(found[runtime]), 1),
                "samples": found[runtime]}
        for runtime in PEER_RUNTIMES:
            peer = medians[runtime]
            line[f"times_{runtime}"] = row.times_better(ours, peer) if ours and peer else None
        line["goal"] = goal_text(row)
        line["met"] = is_met(row, ours, beam)
        line["stretch_met"] = row.reaches(ours, row.stretch) if ours is not None and row.stretch is not None else None
        lines.append(line)
    return lines


def cell(measured):
    return f"{figure(measured['median'])} ({measured['spread_percent']:.0f} %)" if measured else "-"


def table(lines):
    """A Markdown table, its columns padded so that a terminal shows one too. A runtime without a figure has no column."""
    shown = [runtime for runtime in RUNTIMES if runtime == "ours" or any(line[runtime] for line in lines)]
    peers = [runtime for runtime in shown if runtime != "ours"]
    cells = [["work", "unit", *(RUNTIMES[runtime] for runtime in shown), *(f"x {RUNTIMES[peer]}" for peer in peers),
              "goal", "met"]]
    for line in lines:
        times = [f"{line[f'times_{peer}']:.1f}" if line[f"times_{peer}"] else "-" for peer in peers]
        met = {True: "yes", False: "no", None: "-"}[line["met"]] + (", stretch" if line["stretch_met"] else "")
        measured = [cell(line[runtime]) for runtime in shown]
        cells.append([line["what"], line["unit"].replace("per_s", "1/s"), *measured, *times, line["goal"], met])
    return drawn_table(cells, right=range(2, 2 + len(shown) + len(peers)))


def verdict(lines):
    """What the table's figures say about the goals and about the peers, in two sentences."""
    judged = [line for line in lines if line["met"] is not None]
    slower = [f"{line['what']} ({RUNTIMES[peer]}: {line[f'times_{peer}']:.2f})" for line in lines
              for peer in PEER_RUNTIMES if line[f"times_{peer}"] and line[f"times_{peer}"] * SLOWER < 1]
    return (f"Goals met: {sum(line['met'] for line in judged)} of {len(judged)}. Slower than a peer by more than 10 %: "
            + ("; ".join(slower) if slower else "nothing") + ".\n")


def description(report):
    rounds = f"{report['rounds']} round" + ("s" if report["rounds"] > 1 else "")
    used = [runtime for runtime in RUNTIMES if any(line[runtime] for line in report["rows"])]
    return (header(report, used) + f"`{report['command']}`: medians of {rounds}; in brackets the spread, "
            "(largest - smallest) / median.\n")


# --- the command -----------------------------------------------------------------------------------------------------


def positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def parse():
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--growth", action="store_true", help="how our cost grows with the size: tables and plots")
    part.add_argument("--latency", action="store_true", help="the tail: calls and timers under load, beside the BEAM")
    part.add_argument("--build", action="store_true", help="what a user's file costs to compile, beside CAF")
    parser.add_argument("--quick", action="store_true", help="short runs and small sizes, 3 rounds")
    parser.add_argument("--only", metavar="NAME", action="append", default=[],
                        help="only this work, or curve with --growth, or source with --build; may be given repeatedly")
    parser.add_argument("--rounds", type=positive, metavar="N", help="rounds (default 5, with --quick 3)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write everything measured to FILE")
    parser.add_argument("--write", action="store_true",
                        help="put the table into bench/README.md, the other parts into docs/performance.md")
    parser.add_argument("--peers", action="store_true", help="leave our own side out")
    parser.add_argument("--folder", type=pathlib.Path, metavar="DIR", default=ROOT / "build" / "release",
                        help="build folder of our side (default build/release)")
    options = parser.parse_args()
    if options.write and options.only:
        parser.error("--write needs everything, so it does not go with --only")
    if options.json and not options.json.absolute().parent.is_dir():
        parser.error(f"--json: there is no folder {options.json.absolute().parent}")
    options.rounds = options.rounds or (3 if options.quick else 5)
    options.folder = options.folder.absolute()
    return options


def chosen_of(names, options):
    """What --only leaves of these names."""
    for wanted in options.only:
        if wanted not in names:
            raise Failure(f"--only {wanted}: there is none; there are: {', '.join(names)}")
    return [name for name in names if not options.only or name in options.only]


def side_by_side(options):
    """The works of a table, on all runtimes; returns the report."""
    rows = read_goals("latency.tsv" if options.latency else "goals.tsv")
    chosen = chosen_of(list(dict.fromkeys(row.work for row in rows)), options)
    rows = [row for row in rows if row.work in chosen]

    build_beam(chosen)
    build_caf(chosen)
    build_go(chosen)
    if not options.peers:
        build_ours(options.folder, "bench_programs")
    runtimes = [runtime for runtime in RUNTIMES if runtime != "ours" or not options.peers]

    place = machine()
    samples, failures = measure(chosen, runtimes, options.rounds, options.quick, options.folder,
                                {row.row: row for row in rows})
    report = {"machine": place, "versions": versions(), "rounds": options.rounds, "failures": failures,
              "rows": evaluate(rows, samples)}
    return report


def shown(report):
    failed = "".join(f"Failed: {failure.partition(chr(10))[0]}.\n" for failure in report["failures"])
    return f"{description(report)}\n{table(report['rows'])}\n{verdict(report['rows'])}{failed}"


def main():
    options = parse()
    page, part, text_of = ROOT / "docs" / "performance.md", None, None
    if options.growth:
        part, text_of = "growth", growth.page
        report = growth.measure(chosen_of(list(growth.CURVES), options), options)
    elif options.build:
        part, text_of = "build", compile_cost.page
        report = compile_cost.measure(chosen_of(list(compile_cost.SOURCES), options), options)
    else:
        page, part = (page, "latency") if options.latency else (BENCH / "README.md", "results")
        text_of = shown
        report = side_by_side(options)
    report["command"] = " ".join(["bench/run", *sys.argv[1:]])

    text = text_of(report)
    print(f"\n{text}")
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    if options.write:
        if options.growth:
            growth.write_plots(report)
        write_part(page, part, text)
    if report["failures"]:
        raise Failure("\n".join(report["failures"]))


try:
    main()
except Failure as failure:
    sys.exit(f"bench/run: {failure}")
except KeyboardInterrupt:
    sys.exit(130)
