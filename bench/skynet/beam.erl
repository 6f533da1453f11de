%% A tree of processes ten wide: each leaf sends its number to its parent, each parent sends
%% the sum of its ten children up. Median of three after one warm-up (quick: the million
%% once, without one).
%%
%% skynet_100k  100,000 leaves
%% skynet_1m    1,000,000 leaves
%% erl: +P 4000000
-module(beam).
-export([run/1]).

run([Mode]) ->
    measure(skynet_100k, 100_000, 3, 1),
    case Mode of
        quick -> measure(skynet_1m, 1_000_000, 1, 0);
        full -> measure(skynet_1m, 1_000_000, 3, 1)
    end.

measure(Row, Leaves, Times, WarmUps) ->
    bench:result(Row, bench:median_of(Times, WarmUps, fun() -> milliseconds(Leaves) end), ms).

milliseconds(Leaves) ->
    Root = self(),
    bench:timed(fun() ->
        spawn_link(fun() -> node(Root, 0, Leaves) end),
        Expected = Leaves * (Leaves - 1) div 2,
        receive Sum -> Expected = Sum end
    end) / 1.0e6.

node(Parent, Number, 1) ->
    Parent ! Number;
node(Parent, Number, Leaves) ->
    Self = self(),
    Share = Leaves div 10,
    [spawn(fun() -> node(Self, Number + I * Share, Share) end) || I <- lists:seq(0, 9)],
    Parent ! sum(10, 0).

sum(0, Sum) ->
    Sum;
sum(Left, Sum) ->
    receive Part -> sum(Left - 1, Sum + Part) end.
