%% 1,000 processes in a ring pass one token on.
-module(beam).
-export([run/1]).

-define(PROCESSES, 1_000).

run([Mode]) ->
    bench:per_operation(ring, Mode, ?PROCESSES, fun(Rounds) ->
        First = ring(self()),
        Elapsed = bench:timed(fun() ->
            First ! Rounds * ?PROCESSES,
            receive done -> ok end
        end),
        Monitor = monitor(process, First),
        exit(First, kill),  % the others are linked to it
        bench:await_down([Monitor]),
        Elapsed
    end).

%% The first process closes the ring: it starts the others, each linked to it.
ring(Owner) ->
    spawn(fun() ->
        First = self(),
        Next = lists:foldl(
            fun(_, Successor) -> spawn_link(fun() -> node(Successor, Owner) end) end,
            First,
            lists:seq(2, ?PROCESSES)),
        node(Next, Owner)
    end).

node(Next, Owner) ->
    receive
        0 -> Owner ! done;
        Hops -> Next ! Hops - 1
    end,
    node(Next, Owner).
