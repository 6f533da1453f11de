%% Starts 100,000 processes that wait, tells each to stop, and waits for all DOWN messages;
%% starts and stops a server.
-module(beam).
-behaviour(gen_server).
-export([run/1, init/1, handle_call/3, handle_cast/2]).

run([Mode]) ->
    bench:result(start_stop, bench:median_of(3, 1, fun() -> milliseconds(100_000) end), ms),
    bench:per_operation(server_stop, Mode, 1, fun(Rounds) ->
        bench:timed(fun() -> servers(Rounds) end)
    end).

milliseconds(Processes) ->
    bench:timed(fun() ->
        Started = [spawn_monitor(fun() -> receive stop -> ok end end)
                   || _ <- lists:seq(1, Processes)],
        [Process ! stop || {Process, _} <- Started],
        %% In the order of arrival: to look for each one's own would be to search the mailbox.
        [receive {'DOWN', _, process, _, normal} -> ok end || _ <- Started]
    end) / 1.0e6.

servers(0) ->
    ok;
servers(Left) ->
    {ok, Server} = gen_server:start(?MODULE, 0, []),
    ok = gen_server:stop(Server),
    servers(Left - 1).

init(Count) -> {ok, Count}.
handle_call(value, _From, Count) -> {reply, Count, Count}.
handle_cast(_Message, Count) -> {noreply, Count}.
