%% What the BEAM programs share: the clock, the warm-up, the RESULT line.
%%
%% Every program is a module `beam` in a folder of its own and exports run([Mode]),
%% Mode being `quick` or `full`; it runs in a fresh emulator that halts afterwards.
-module(bench).
-export([per_operation/4, timed/1, median_of/3, in_process/1, await_down/1]).
-export([resident_bytes/0, processor_nanoseconds/0, result/3]).

%% Measures Body(Rounds), which does Rounds * Size operations and returns the nanoseconds
%% they took. The first, growing calls are the warm-up: they load the code, grow the heaps
%% and wake the schedulers. The first call that is long enough is the measurement.
per_operation(Row, Mode, Size, Body) ->
    Target = case Mode of quick -> 300_000_000; full -> 1_000_000_000 end,
    PerRound = in_process(fun() -> measure(Body, Target, 1) end),
    result(Row, PerRound / Size, ns).

measure(Body, Target, Rounds) ->
    case Body(Rounds) of
        Nanoseconds when Nanoseconds >= Target ->
            Nanoseconds / Rounds;
        Nanoseconds ->
            Wanted = trunc(Rounds * 1.4 * Target / max(1, Nanoseconds)),
            measure(Body, Target, max(Rounds + 1, min(Wanted, Rounds * 10)))
    end.

timed(Work) ->
    Start = erlang:monotonic_time(nanosecond),
    _ = Work(),
    erlang:monotonic_time(nanosecond) - Start.

%% The middle one of what Work returns, called so many times after the warm-ups, each time
%% in a new process.
median_of(Times, WarmUps, Work) ->
    [in_process(Work) || _ <- lists:seq(1, WarmUps)],
    Samples = [in_process(Work) || _ <- lists:seq(1, Times)],
    lists:nth(Times div 2 + 1, lists:sort(Samples)).

%% Runs Work in a new process, with an empty heap and mailbox, and returns its value.
in_process(Work) ->
    {Pid, Monitor} = spawn_monitor(fun() -> exit({value, Work()}) end),
    receive
        {'DOWN', Monitor, process, Pid, {value, Value}} -> Value;
        {'DOWN', Monitor, process, Pid, Reason} -> error(Reason)
    end.

await_down([]) ->
    ok;
await_down([Monitor | Rest]) ->
    receive {'DOWN', Monitor, process, _, _} -> await_down(Rest) end.

resident_bytes() ->
    {ok, Status} = file:read_file("/proc/self/status"),
    {match, [Kilobytes]} =
        re:run(Status, "VmRSS:\\s+([0-9]+) kB", [{capture, all_but_first, list}]),
    list_to_integer(Kilobytes) * 1024.

%% The processor time that all threads of the emulator have had.
processor_nanoseconds() ->
    {ok, Threads} = file:list_dir("/proc/self/task"),
    lists:sum([thread_nanoseconds(Thread) || Thread <- Threads]).

thread_nanoseconds(Thread) ->
    {ok, Times} = file:read_file("/proc/self/task/" ++ Thread ++ "/schedstat"),
    [Nanoseconds | _] = binary:split(Times, <<" ">>),
    binary_to_integer(Nanoseconds).

result(Row, Value, Unit) ->
    io:format("RESULT ~s ~.1f ~s~n", [Row, float(Value), Unit]).
