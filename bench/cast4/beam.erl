%% Four senders cast to one counter server at the same time; after every 10,000 casts a
%% sender calls the server, which answers when it has handled them all. The server keeps its
%% messages off the heap, as a server with many senders should: OTP 25 then lets the senders
%% queue them in parallel.
-module(beam).
-behaviour(gen_server).
-export([run/1, init/1, handle_call/3, handle_cast/2]).

-define(SENDERS, 4).
-define(BATCH, 10_000).

run([Mode]) ->
    {ok, Server} = gen_server:start_link(
        ?MODULE, 0, [{spawn_opt, [{message_queue_data, off_heap}]}]),
    bench:per_operation(cast4, Mode, ?SENDERS * ?BATCH, fun(Rounds) ->
        Before = gen_server:call(Server, value),
        Senders = [spawn_monitor(fun() -> sender(Server, Rounds) end)
                   || _ <- lists:seq(1, ?SENDERS)],
        Elapsed = bench:timed(fun() ->
            [Sender ! go || {Sender, _} <- Senders],
            [receive {'DOWN', Monitor, process, _, Reason} -> normal = Reason end
             || {_, Monitor} <- Senders]
        end),
        true = gen_server:call(Server, value) =:= Before + Rounds * ?SENDERS * ?BATCH,
        Elapsed
    end).

sender(Server, Rounds) ->
    receive go -> ok end,
    batches(Server, Rounds).

batches(_Server, 0) ->
    ok;
batches(Server, Left) ->
    casts(Server, ?BATCH),
    _ = gen_server:call(Server, value, infinity),
    batches(Server, Left - 1).

casts(_Server, 0) ->
    ok;
casts(Server, Left) ->
    gen_server:cast(Server, increment),
    casts(Server, Left - 1).

init(Count) -> {ok, Count}.

handle_call(value, _From, Count) -> {reply, Count, Count}.

handle_cast(increment, Count) -> {noreply, Count + 1}.
