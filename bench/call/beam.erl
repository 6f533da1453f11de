%% One client calls one idle counter server, one call after the other.
-module(beam).
-behaviour(gen_server).
-export([run/1, init/1, handle_call/3, handle_cast/2]).

run([Mode]) ->
    {ok, Server} = gen_server:start_link(?MODULE, 0, []),
    bench:per_operation(call, Mode, 1, fun(Rounds) ->
        Before = gen_server:call(Server, value),
        Elapsed = bench:timed(fun() -> calls(Server, Rounds) end),
        true = gen_server:call(Server, value) =:= Before + Rounds,
        Elapsed
    end).

calls(_Server, 0) ->
    ok;
calls(Server, Left) ->
    _ = gen_server:call(Server, increment),
    calls(Server, Left - 1).

init(Count) -> {ok, Count}.

handle_call(increment, _From, Count) -> {reply, Count + 1, Count + 1};
handle_call(value, _From, Count) -> {reply, Count, Count}.

handle_cast(_Message, Count) -> {noreply, Count}.
