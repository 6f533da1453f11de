%% Two processes with a receive loop each throw one message to and fro.
-module(beam).
-export([run/1]).

run([Mode]) ->
    Pong = spawn_link(fun pong/0),
    bench:per_operation(ping_pong, Mode, 1, fun(Rounds) ->
        bench:timed(fun() -> ping(Pong, Rounds) end)
    end).

ping(_Pong, 0) ->
    ok;
ping(Pong, Left) ->
    Pong ! {ping, self()},
    receive pong -> ping(Pong, Left - 1) end.

pong() ->
    receive {ping, From} -> From ! pong, pong() end.
