%% 100 clients, each with a counter server of its own, all calling at the same time.
-module(beam).
-behaviour(gen_server).
-export([run/1, init/1, handle_call/3, handle_cast/2]).

-define(PAIRS, 100).
-define(CALLS, 10).  % calls of each client in a round

run([Mode]) ->
    Servers = [start_server() || _ <- lists:seq(1, ?PAIRS)],
    bench:per_operation(pairs, Mode, ?PAIRS * ?CALLS, fun(Rounds) ->
        Clients = [spawn_monitor(fun() -> client(Server, Rounds * ?CALLS) end)
                   || Server <- Servers],
        bench:timed(fun() ->
            [Client ! go || {Client, _} <- Clients],
            [receive {'DOWN', Monitor, process, _, Reason} -> normal = Reason end
             || {_, Monitor} <- Clients]
        end)
    end).

start_server() ->
    {ok, Server} = gen_server:start_link(?MODULE, 0, []),
    Server.

client(Server, Calls) ->
    receive go -> ok end,
    Before = gen_server:call(Server, value),
    calls(Server, Calls - 1),
    true = gen_server:call(Server, increment) =:= Before + Calls.

calls(_Server, 0) ->
    ok;
calls(Server, Left) ->
    _ = gen_server:call(Server, increment),
    calls(Server, Left - 1).

init(Count) -> {ok, Count}.

handle_call(increment, _From, Count) -> {reply, Count + 1, Count + 1};
handle_call(value, _From, Count) -> {reply, Count, Count}.

handle_cast(_Message, Count) -> {noreply, Count}.
