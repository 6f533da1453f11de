# Processes in gdb: who there is, what each waits in.
#
#   gdb -p PID -x otp-gdb.py        (or:  source otp-gdb.py  in a session; core files too)
#
#   otp processes [TEXT]            every process; with TEXT those whose line contains it
#   otp backtrace PID               where a process waits: PID as printed, <0.17.3> or 17
#
# A process that runs is on its worker's thread: `thread apply all backtrace` shows it. One that has no stack (a server
# between two messages) waits nowhere. Needs the library's debug information (any build with -g).
import gdb


def evaluate(expression):
    """Whatever the language of the selected frame: a thread often stands in libc, which is C."""
    before = gdb.parameter("language")
    gdb.execute("set language c++")
    try:
        return gdb.parse_and_eval(expression)
    finally:
        gdb.execute("set language " + before)


def text_of(view):
    """A std::string_view, or None."""
    try:
        length, data = int(view["_M_len"]), view["_M_str"]
    except gdb.error:  # libc++
        length, data = int(view["__size_"]), view["__data_"]
    return data.string(length=length, errors="replace") if length else ""


def plain(atomic):
    """What a std::atomic holds."""
    for field in ("_M_i", "_M_b", "_M_p", "__a_"):
        try:
            atomic = atomic[field]
        except gdb.error:
            continue
        return plain(atomic) if atomic.type.strip_typedefs().code == gdb.TYPE_CODE_STRUCT else atomic
    return atomic


def pointer_in(owner):
    """What a std::unique_ptr points to: its first word."""
    return owner.address.cast(gdb.lookup_type("long").pointer()).dereference()


class Runtime:
    """The first runtime that a thread of the program works for."""

    def __init__(self):
        selected = gdb.selected_thread()
        try:
            for thread in gdb.selected_inferior().threads():
                thread.switch()
                try:
                    worker = evaluate("otp::detail::the_thread_slots.worker")
                except gdb.error as e:
                    raise gdb.GdbError("no runtime to be seen: %s (was the library built with -g?)" % e)
                if int(worker):
                    worker = worker.cast(gdb.lookup_type("otp::detail::worker").pointer())
                    owner = worker["owner"]["owner_"]
                    self.core = owner.cast(gdb.lookup_type("otp::detail::runtime_core").pointer())
                    return
        finally:
            if selected:
                selected.switch()
        raise gdb.GdbError("no thread of this program is a worker of an otp::runtime")

    def processes(self):
        table = self.core["table"]
        block = gdb.lookup_type("otp::detail::process")
        size = (block.sizeof + 31) // 32 * 32
        chunk_size = int(evaluate("otp::detail::process_table::chunk_size"))
        chunks = pointer_in(table["chunks_"])
        word = gdb.lookup_type("long").pointer()
        for index in range(int(plain(table["top_"])) + 1):
            chunk = int((gdb.Value(int(chunks)).cast(word) + index // chunk_size).dereference())
            if not chunk:
                continue
            p = gdb.Value(chunk + index % chunk_size * size).cast(block.pointer())
            if int(plain(p["id"])):
                yield p


def name_of(p):
    number = int(plain(p["id"]))
    return "<0.%d.%d>" % (number & 0xFFFFFF, number >> 24)


def state_of(p):
    phase = str(plain(p["phase"])).rsplit("::", 1)[-1]
    if phase == "waiting" or (phase == "idle" and int(p["stk"])):
        return "waiting"
    return {"in_user": "running", "in_runtime": "running"}.get(phase, phase)


def line_of(p):
    type_name = plain(p["type_name"])
    parts = [name_of(p), state_of(p), "queue %d" % int(plain(p["queued"]))]
    if int(type_name):
        parts.append(text_of(type_name.dereference()))
    return "  ".join(parts)


class Otp(gdb.Command):
    """Looks at the processes of an otp::runtime."""

    def __init__(self):
        super().__init__("otp", gdb.COMMAND_STACK, prefix=True)


class Processes(gdb.Command):
    """otp processes [TEXT]: every process, a line each; with TEXT those whose line contains it."""

    def __init__(self):
        super().__init__("otp processes", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        count = 0
        for p in Runtime().processes():
            line = line_of(p)
            if argument in line:
                print(line)
                count += 1
        print("%d processes" % count)


class Backtrace(gdb.Command):
    """otp backtrace PID: where a process waits."""

    def __init__(self):
        super().__init__("otp backtrace", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        wanted = argument.strip()
        for p in Runtime().processes():
            if wanted in (name_of(p), name_of(p).split(".")[1]):
                return self.show(p)
        raise gdb.GdbError("there is no process %s; give one that `otp processes` prints" % (wanted or "without a name"))

    def show(self, p):
        print(line_of(p))
        if state_of(p) == "running":
            print("It runs: see  thread apply all backtrace")
            return
        if not int(p["stk"]):
            print("It has no stack: it waits for its next message.")
            return
        # What otp_context_jump (src/runtime/context.cpp) left there.
        sp = int(p["stk"]["ctx"]["sp"])
        word = gdb.lookup_type("long").pointer()
        saved = [int((gdb.Value(sp).cast(word) + i).dereference()) for i in range(8)]
        frame, address = saved[6], saved[7]
        try:
            self.walk_by_registers(sp, frame, address)
        except gdb.error:  # a core file: registers cannot be set
            self.walk_by_frame_pointers(frame, address)

    def walk_by_registers(self, sp, frame, address):
        gdb.newest_frame().select()
        before = {r: int(gdb.parse_and_eval("(long)$" + r)) for r in ("rsp", "rbp", "rip")}
        try:
            for register, value in (("rsp", sp + 64), ("rbp", frame), ("rip", address)):
                gdb.execute("set $%s = %d" % (register, value))
            gdb.execute("backtrace")
        finally:
            for register, value in before.items():
                gdb.execute("set $%s = %d" % (register, value))

    def walk_by_frame_pointers(self, frame, address):
        word = gdb.lookup_type("long").pointer()
        for depth in range(200):
            where = gdb.execute("info symbol %d" % address, to_string=True).split(" in section")[0].strip()
            print("#%-3d 0x%016x %s" % (depth, address, where))
            if not frame:
                break
            try:
                here = gdb.Value(frame).cast(word)
                frame, address = int(here.dereference()), int((here + 1).dereference())
            except gdb.MemoryError:
                break
            if not address:
                break


Otp()
Processes()
Backtrace()
