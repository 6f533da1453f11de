%% A flat one_for_one supervisor: all children are killed at once; the time until every one
%% of them has been started again (each reports from init).
%%
%% flat_1k    1,000 children, median of five after one warm-up
%% flat_100k  100,000 children, once (full mode only: it takes minutes, the supervisor's
%%            work grows with the square of the number of children)
%%
%% The logger is off: neither side prints its reports.
%% full rounds: 1
-module(beam).
-behaviour(gen_server).
-export([run/1, start_link/1, init/1, handle_call/3, handle_cast/2]).

run([Mode]) ->
    ok = logger:set_primary_config(level, none),
    bench:result(flat_1k, bench:median_of(5, 1, fun() -> milliseconds(1_000) end), ms),
    Mode =:= full andalso bench:result(flat_100k, bench:median_of(1, 0, fun() -> milliseconds(100_000) end), ms).

milliseconds(Size) ->
    {ok, Supervisor} = bench_tree:start_link(Size, {?MODULE, start_link, [self()]}),
    Children = reports(Size, []),
    Elapsed = bench:timed(fun() ->
        [exit(Child, kill) || Child <- Children],
        reports(Size, [])
    end),
    bench_tree:stop(Supervisor),
    Elapsed / 1.0e6.

reports(0, Children) ->
    Children;
reports(Left, Children) ->
    receive {up, Child} -> reports(Left - 1, [Child | Children]) end.

start_link(Tester) -> gen_server:start_link(?MODULE, Tester, []).

init(Tester) ->
    Tester ! {up, self()},
    {ok, Tester}.

handle_call(tester, _From, Tester) -> {reply, Tester, Tester}.

handle_cast(_Message, Tester) -> {noreply, Tester}.
