%% Crash storms: 10,000 processes that fail at once, and 10,000 that are taken along by a link.
%% The logger is off: neither side prints its reports.
-module(beam).
-export([run/1]).

-define(COUNT, 10_000).

run([Mode]) ->
    ok = logger:set_primary_config(level, none),
    measure(storm, Mode, fun crashes/0),
    measure(storm_links, Mode, fun taken_along/0).

measure(Row, Mode, Storm) ->
    bench:per_operation(Row, Mode, ?COUNT, fun(Rounds) ->
        lists:sum([Storm() || _ <- lists:seq(1, Rounds)])
    end).

crashes() ->
    Started = [spawn_monitor(fun() -> receive go -> error(crash) end end)
               || _ <- lists:seq(1, ?COUNT)],
    bench:timed(fun() ->
        [Process ! go || {Process, _} <- Started],
        downs(?COUNT)
    end).

taken_along() ->
    Owner = self(),
    Hub = spawn(fun() ->
        Owner ! {up, [spawn_link(fun() -> receive go -> ok end end)
                      || _ <- lists:seq(1, ?COUNT)]},
        receive go -> error(crash) end
    end),
    receive {up, Processes} -> [monitor(process, Process) || Process <- Processes] end,
    bench:timed(fun() ->
        Hub ! go,
        downs(?COUNT)
    end).

downs(0) ->
    ok;
downs(Left) ->
    receive {'DOWN', _, process, _, {crash, _}} -> downs(Left - 1) end.
