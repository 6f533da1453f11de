%% As `call`, but the client has the server's registered name, and looks it up at each call.
-module(beam).
-behaviour(gen_server).
-export([run/1, init/1, handle_call/3, handle_cast/2]).

run([Mode]) ->
    {ok, _} = gen_server:start_link({local, counted}, ?MODULE, 0, []),
    bench:per_operation(call_by_name, Mode, 1, fun(Rounds) ->
        Before = gen_server:call(counted, value),
        Elapsed = bench:timed(fun() -> calls(Rounds) end),
        true = gen_server:call(counted, value) =:= Before + Rounds,
        Elapsed
    end).

calls(0) ->
    ok;
calls(Left) ->
    _ = gen_server:call(counted, increment),
    calls(Left - 1).

init(Count) -> {ok, Count}.

handle_call(increment, _From, Count) -> {reply, Count + 1, Count + 1};
handle_call(value, _From, Count) -> {reply, Count, Count}.

handle_cast(_Message, Count) -> {noreply, Count}.
