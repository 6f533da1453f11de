%% Starts 10,000 idle servers, one after the other; each start returns when init has.
%% They are stopped before the next round, outside of the time taken.
-module(beam).
-behaviour(gen_server).
-export([run/1, init/1, handle_call/3, handle_cast/2]).

-define(BATCH, 10_000).

run([Mode]) ->
    bench:per_operation(start, Mode, ?BATCH, fun(Rounds) -> rounds(Rounds, 0) end).

rounds(0, Elapsed) ->
    Elapsed;
rounds(Left, Elapsed) ->
    Start = erlang:monotonic_time(nanosecond),
    Servers = starts(?BATCH, []),
    Stop = erlang:monotonic_time(nanosecond),
    Monitors = [monitor(process, Server) || Server <- Servers],
    [exit(Server, kill) || Server <- Servers],
    bench:await_down(Monitors),
    rounds(Left - 1, Elapsed + Stop - Start).

starts(0, Servers) ->
    Servers;
starts(Left, Servers) ->
    {ok, Server} = gen_server:start(?MODULE, 0, []),
    starts(Left - 1, [Server | Servers]).

init(Count) -> {ok, Count}.
handle_call(value, _From, Count) -> {reply, Count, Count}.
handle_cast(_Message, Count) -> {noreply, Count}.
