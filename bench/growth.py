"""How the cost of one thing grows with the number of things, and with the number of workers: tables and plots."""
import math
import re
import subprocess
import sys

from place import ROOT, Failure, build_ours, drawn_table, header, machine, versions
from plot import small_multiples

CURVES = {  # name: (the thing whose cost is shown, what its number is, the exponent that this cost should grow with)
    "spawn": ("start and end a process", "processes that wait at once", 0),
    "servers": ("start and stop a gen_server", "servers at once", 0),
    "call": ("call one of the servers, at random", "servers", 0),
    "pairs": ("call of many pairs at once", "client/server pairs", 0),
    "senders": ("cast to one server", "processes that send", 0),
    "mailbox": ("receive the next message", "messages that wait", 0),
    "selective": ("receive past what waits", "messages that wait", 1),
    "timers": ("start and cancel a timer", "timers armed", 0),
    "expiry": ("expiry of a timer", "timers due at once", 0),
    "children": ("restart a child", "children killed at once", 0),
    "tree": ("start and stop a supervised child", "children of a supervisor", 0),
    "dynamic": ("start, terminate a dynamic child", "children of a dynamic_supervisor", 0),
    "registering": ("register and unregister a key", "keys", 0),
    "lookup": ("look a key up, at random", "keys", 0),
    "group": ("tell a member of a group", "members of one key", 0),
    "names": ("register and look up a name", "names", 0),
    "monitors": ("monitor, and its DOWN", "monitors of one process", 0),
    "links": ("end by a link", "processes linked to one", 0),
    "ring": ("hop of a token", "processes in a ring", 0),
    "tasks": ("async and await a task", "tasks at once", 0),
    "skynet": ("leaf of skynet", "leaves", 0),
    "big": ("message of all to all", "processes", 0),
}
SIZES = [10 ** exponent for exponent in range(1, 7)]
LARGEST = {"big": 1_000}  # its messages are the square
WORKERS = (1, 2, 4, 8)
FROM = 1_000           # below this, what is set up once weighs too much to say how anything grows
EXPONENT_MAX = 0.3     # beyond the one it should have: what caches and page tables cost
STEP_MAX = 5           # times the cost of the size before, ten times smaller
COLLAPSE = 2.5         # times the cost with as many workers as there are cores
REFERENCE_WORKERS = 2


def sizes_of(curve, workers, quick):
    largest = LARGEST.get(curve, SIZES[-1])
    if quick and workers != REFERENCE_WORKERS:
        largest = min(largest, 100_000)
    return [size for size in SIZES if size <= largest]


def points_in(text):
    return {int(size): float(value) for size, value in re.findall(r"^POINT (\d+) (\S+)$", text, re.M)}


def points_of(curve, workers, quick, folder):
    """{size: nanoseconds}, as far as the program went."""
    command = [str(folder / "bench" / "bench_growth"), curve, str(workers), "20" if quick else "300",
               *map(str, sizes_of(curve, workers, quick))]
    try:
        run = subprocess.run(command, text=True, stdin=subprocess.DEVNULL, capture_output=True,
                             timeout=60 if quick else 600)
    except subprocess.TimeoutExpired as late:
        said = late.stdout or ""
        return points_in(said.decode() if isinstance(said, bytes) else said)
    if run.returncode != 0:
        raise Failure(f"growth of {curve} with {workers} workers ended with code {run.returncode}: {run.stderr[-2000:]}")
    return points_in(run.stdout)


# --- what stands out -------------------------------------------------------------------------------------------------


def growth_faults(curve, points, wanted_sizes):
    """What is wrong with how the cost grows, as texts."""
    should = CURVES[curve][2]
    counted = [(size, value) for size, value in sorted(points.items()) if size >= FROM]
    faults = []
    missing = [size for size in wanted_sizes if size not in points]
    if missing:
        faults.append(f"took too long for {missing[0]:,}")
    if len(counted) < 2:
        return faults
    (first, cost_first), (last, cost_last) = counted[0], counted[-1]
    exponent = math.log(cost_last / cost_first) / math.log(last / first) - should
    if exponent > EXPONENT_MAX:
        faults.append(f"grows with n^{exponent + should:.2f} from {first:,} to {last:,}")
    for (size, cost), (more, cost_more) in zip(counted, counted[1:]):
        step = cost_more / cost / (more / size) ** should
        if step > STEP_MAX:
            faults.append(f"{step:.0f} times the cost from {size:,} to {more:,}")
    return faults


def collapse_faults(by_workers):
    reference = by_workers.get(REFERENCE_WORKERS, {})
    faults = []
    for workers, points in by_workers.items():
        if workers <= REFERENCE_WORKERS:
            continue
        worse = {size: points[size] / reference[size] for size in points if size >= FROM and size in reference}
        size = max(worse, key=worse.get, default=None)
        if size and worse[size] > COLLAPSE:
            faults.append(f"{worse[size]:.1f} times the cost with {workers} workers at {size:,}")
    return faults


# --- measuring and showing -------------------------------------------------------------------------------------------


def measure(chosen, options):
    build_ours(options.folder, "bench_growth")
    report = {"machine": machine(), "versions": versions(), "failures": [], "quick": options.quick, "curves": []}
    for curve in chosen:
        by_workers = {workers: points_of(curve, workers, options.quick, options.folder) for workers in WORKERS}
        reference = by_workers[REFERENCE_WORKERS]
        faults = growth_faults(curve, reference, sizes_of(curve, REFERENCE_WORKERS, options.quick))
        faults += collapse_faults(by_workers)
        what, number, should = CURVES[curve]
        report["curves"].append({"curve": curve, "what": what, "number": number, "should": should, "faults": faults,
                                 "workers": {str(workers): points for workers, points in by_workers.items()}})
        last = max(reference, default=None)
        print(f"{curve:<12} {figure(reference[last]) if last else '-'} ns at {last or 0:,}"
              f"{'   ' + '; '.join(faults) if faults else ''}", file=sys.stderr, flush=True)
    return report


def figure(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"


def page(report):
    sizes = [size for size in SIZES if any(size in c["workers"][str(REFERENCE_WORKERS)] for c in report["curves"])]
    growth = [["ns for", "over the number of", *(f"{size:,}" for size in sizes), "stands out"]]
    workers = [["ns for", "at", *(f"{count} worker{'s' if count > 1 else ''}" for count in WORKERS)]]
    for curve in report["curves"]:
        points = curve["workers"][str(REFERENCE_WORKERS)]
        faults = "; ".join(curve["faults"]) or ("linear, as it should" if curve["should"] else "-")
        growth.append([curve["what"], curve["number"],
                       *(figure(points[size]) if size in points else "-" for size in sizes), faults])
        common = [size for size in SIZES if all(size in points for points in curve["workers"].values())]
        if common:
            workers.append([curve["what"], f"{common[-1]:,}",
                            *(figure(curve["workers"][str(count)][common[-1]]) for count in WORKERS)])
    odd = [curve["what"] for curve in report["curves"] if curve["faults"]]
    return (f"{header(report, ['ours'])}`{report['command']}`: the least of the passes of each size.\n\n"
            f"With {REFERENCE_WORKERS} workers:\n\n{drawn_table(growth, right=range(2, 2 + len(sizes)))}\n"
            f"With more and with fewer workers than the machine has cores, at the largest size that all have:\n\n"
            f"{drawn_table(workers, right=range(1, 2 + len(WORKERS)))}\n"
            f"Stands out: {', '.join(odd) if odd else 'nothing'}.\n\n"
            "![The same curves, with 1, 2, 4 and 8 workers](performance/growth.svg)\n")


def write_plots(report):
    panels = [(curve["what"], "".join(curve["faults"][:1]),
               {f"{count} worker{'s' if count != '1' else ''}": sorted(points.items())
                for count, points in curve["workers"].items() if points}) for curve in report["curves"]]
    target = ROOT / "docs" / "performance" / "growth.svg"
    target.parent.mkdir(exist_ok=True)
    target.write_text(small_multiples("Time of one thing over their number", panels))
