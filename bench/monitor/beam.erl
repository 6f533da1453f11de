%% Watches a live process and stops watching it.
-module(beam).
-export([run/1]).

run([Mode]) ->
    Watched = spawn_link(fun() -> receive stop -> ok end end),
    bench:per_operation(monitor, Mode, 1, fun(Rounds) ->
        bench:timed(fun() -> monitors(Watched, Rounds) end)
    end),
    Watched ! stop.

monitors(_Watched, 0) ->
    ok;
monitors(Watched, Left) ->
    Monitor = monitor(process, Watched),
    true = demonitor(Monitor, [info]),
    monitors(Watched, Left - 1).
