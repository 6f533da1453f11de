%% Resident memory of an idle server: how much the emulator grows over 100,000 of them
%% (full: 1,000,000). They are started as `start` starts them and never get a message.
%% erl: +P 2000000
-module(beam).
-behaviour(gen_server).
-export([run/1, init/1, handle_call/3, handle_cast/2]).

run([Mode]) ->
    Servers = case Mode of quick -> 100_000; full -> 1_000_000 end,
    bench:in_process(fun() ->
        start(1_000),  % warm-up: code and tables
        Before = bench:resident_bytes(),
        start(Servers),
        bench:result(memory, (bench:resident_bytes() - Before) / Servers, bytes)
    end).

start(0) ->
    ok;
start(Left) ->
    {ok, _} = gen_server:start(?MODULE, 0, []),
    start(Left - 1).

init(Count) -> {ok, Count}.
handle_call(value, _From, Count) -> {reply, Count, Count}.
handle_cast(_Message, Count) -> {noreply, Count}.
