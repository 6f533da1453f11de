%% One sender casts to one counter server; after every 10,000 casts it calls the server,
%% which answers when it has handled them all.
-module(beam).
-behaviour(gen_server).
-export([run/1, init/1, handle_call/3, handle_cast/2]).

-define(BATCH, 10_000).

run([Mode]) ->
    {ok, Server} = gen_server:start_link(?MODULE, 0, []),
    bench:per_operation(cast, Mode, ?BATCH, fun(Rounds) ->
        Before = gen_server:call(Server, value),
        Elapsed = bench:timed(fun() -> batches(Server, Rounds) end),
        true = gen_server:call(Server, value) =:= Before + Rounds * ?BATCH,
        Elapsed
    end).

batches(_Server, 0) ->
    ok;
batches(Server, Left) ->
    casts(Server, ?BATCH),
    _ = gen_server:call(Server, value),
    batches(Server, Left - 1).

casts(_Server, 0) ->
    ok;
casts(Server, Left) ->
    gen_server:cast(Server, increment),
    casts(Server, Left - 1).

init(Count) -> {ok, Count}.

handle_call(value, _From, Count) -> {reply, Count, Count}.

handle_cast(increment, Count) -> {noreply, Count + 1}.
