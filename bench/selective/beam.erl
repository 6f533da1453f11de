%% Receives a message that stands behind 1,000 others, which it does not take.
-module(beam).
-export([run/1]).

-define(WAITING, 1_000).

run([Mode]) ->
    bench:per_operation(selective, Mode, 1, fun(Rounds) ->
        [self() ! {other, I} || I <- lists:seq(1, ?WAITING)],
        Elapsed = bench:timed(fun() -> receives(Rounds) end),
        [receive {other, Next} -> I = Next end || I <- lists:seq(1, ?WAITING)],
        Elapsed
    end).

receives(0) ->
    ok;
receives(Left) ->
    self() ! {wanted, Left},
    receive {wanted, Number} -> Left = Number end,
    receives(Left - 1).
