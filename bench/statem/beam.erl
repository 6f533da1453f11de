%% One client calls one state machine, which changes its state at every call.
-module(beam).
-behaviour(gen_statem).
-export([run/1, init/1, callback_mode/0, off/3, on/3]).

run([Mode]) ->
    {ok, Machine} = gen_statem:start_link(?MODULE, 0, []),
    bench:per_operation(statem, Mode, 1, fun(Rounds) ->
        Before = gen_statem:call(Machine, value),
        Elapsed = bench:timed(fun() -> calls(Machine, Rounds) end),
        true = gen_statem:call(Machine, value) =:= Before + Rounds,
        Elapsed
    end).

calls(_Machine, 0) ->
    ok;
calls(Machine, Left) ->
    _ = gen_statem:call(Machine, flip),
    calls(Machine, Left - 1).

callback_mode() -> state_functions.

init(Count) -> {ok, off, Count}.

off({call, From}, flip, Count) -> {next_state, on, Count + 1, [{reply, From, Count + 1}]};
off({call, From}, value, Count) -> {keep_state, Count, [{reply, From, Count}]}.

on({call, From}, flip, Count) -> {next_state, off, Count + 1, [{reply, From, Count + 1}]};
on({call, From}, value, Count) -> {keep_state, Count, [{reply, From, Count}]}.
