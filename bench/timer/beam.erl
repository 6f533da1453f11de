%% Starts a timer of five seconds and cancels it at once.
-module(beam).
-export([run/1]).

run([Mode]) ->
    bench:per_operation(timer, Mode, 1, fun(Rounds) ->
        bench:timed(fun() -> timers(Rounds) end)
    end).

timers(0) ->
    ok;
timers(Left) ->
    Timer = erlang:send_after(5_000, self(), tick),
    true = is_integer(erlang:cancel_timer(Timer)),
    timers(Left - 1).
