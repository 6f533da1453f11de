"""Where and with what is measured, and where the figures go: what all parts of bench/run share."""
import datetime
import os
import pathlib
import re
import subprocess
import sys

BENCH = pathlib.Path(__file__).resolve().parent
ROOT = BENCH.parent
SUPPORT = BENCH / "support"
PEERS = ROOT / "build" / "bench"  # what is compiled of the other runtimes' programs


class Failure(Exception):
    """Ends the run; its text tells the user why."""


# --- building --------------------------------------------------------------------------------------------------------


def build_step(command, what):
    run = subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if run.returncode != 0:
        raise Failure(f"{run.stdout}\n{what} does not compile; the command was:\n  {' '.join(map(str, command))}")


def build_ours(folder, target):
    """Builds a target of our side with the release preset."""
    print("building", file=sys.stderr, flush=True)
    build_step(["cmake", "--preset", "release", "-B", folder, "-DOTP_BUILD_BENCH=ON"], "the release preset")
    build_step(["cmake", "--build", folder, "--target", target, "-j", str(os.cpu_count())],
               "our side (--peers leaves it out)")


# --- the machine and the versions ------------------------------------------------------------------------------------


def environment():
    """Ours, without what changes the emulator behind the table's back, and without crash dumps."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ERL_")}
    return kept | {"ERL_CRASH_DUMP_BYTES": "0"}


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
    config = pathlib.Path("/usr/include/caf/config.hpp")
    caf = re.search(r"CAF_VERSION (\d+)", config.read_text()) if config.is_file() else None
    number = int(caf[1]) if caf else 0
    return {"ours": output_of("git", "describe", "--always", "--dirty") or "unknown", "beam": erlang,
            "caf": f"{number // 10000}.{number // 100 % 100}.{number % 100}",
            "go": output_of("go", "version").removeprefix("go version go").partition(" ")[0],
            "compiler": output_of("g++", "--version").partition("\n")[0]}


def machine():
    cpu = re.search(r"^model name\s*:\s*(.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    memory = re.search(r"^MemTotal:\s*(\d+)", pathlib.Path("/proc/meminfo").read_text(), re.M)
    load = round(os.getloadavg()[0], 2)
    if load > 0.5:
        print(f"The load average is {load}: other programs are running, the figures will be off.", file=sys.stderr)
    return {"cpu": cpu[1] if cpu else "unknown", "cores": os.cpu_count(), "memory_gib": round(int(memory[1]) / 2**20),
            "kernel": ".".join(os.uname().release.split(".")[:2]), "load_at_start": load,
            "date": datetime.date.today().isoformat()}


def header(report, runtimes):
    """Two lines: where, and which versions."""
    place, version = report["machine"], report["versions"]
    names = {"ours": "Ours", "beam": "BEAM", "caf": "CAF", "go": "Go"}
    used = " ".join(f"{names[runtime]}: {version[runtime]}." for runtime in runtimes)
    return (f"{place['date']}, {place['cpu']}, {place['cores']} cores, {place['memory_gib']} GiB, Linux "
            f"{place['kernel']}, load average {place['load_at_start']} at the start.\n{used} {version['compiler']}.\n")


# --- the pages -------------------------------------------------------------------------------------------------------


def drawn_table(cells, right):
    """A Markdown table of rows of texts, the first one its head; the columns `right` are right-aligned."""
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    pad = lambda text, i: text.rjust(widths[i]) if i in right else text.ljust(widths[i])
    drawn = ["| " + " | ".join(pad(text, i) for i, text in enumerate(row)) + " |" for row in cells]
    rules = ("-" * (width + 1) + (":" if i in right else "-") for i, width in enumerate(widths))
    drawn.insert(1, "|" + "|".join(rules) + "|")
    return "\n".join(drawn) + "\n"


def write_part(page, part, text):
    """Replaces what stands between the marks of a part."""
    old = page.read_text()
    begin = re.search(rf"^<!-- {part}: begin, .* -->\n", old, re.M)
    end = old.find(f"<!-- {part}: end -->\n")
    if not begin or end < begin.end():
        raise Failure(f"{page.relative_to(ROOT)} lacks the marks '<!-- {part}: begin, ... -->' and '<!-- {part}: end -->'")
    page.write_text(old[:begin.end()] + "\n" + text + "\n" + old[end:])
