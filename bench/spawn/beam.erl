%% Spawns a process that ends at once, and waits for its DOWN message.
-module(beam).
-export([run/1]).

run([Mode]) ->
    bench:per_operation(spawn, Mode, 1, fun(Rounds) ->
        bench:timed(fun() -> spawns(Rounds) end)
    end).

spawns(0) ->
    ok;
spawns(Left) ->
    {_, Monitor} = spawn_monitor(fun() -> ok end),
    receive {'DOWN', Monitor, process, _, normal} -> spawns(Left - 1) end.
