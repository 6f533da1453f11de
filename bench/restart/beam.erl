%% Crash to restart under a one_for_one supervisor. A server crashes in handle_cast; its
%% successor reports from init.
%%
%% restart       one child, crashed again and again with nothing else going on: the time
%%               from sending the crash to the successor's report, median of 2,000. Every
%%               50 crashes a new supervisor takes over: OTP's remembers each restart of
%%               the last second in a list, and a long list is not what is measured here.
%% restart_rate  100 children, each crashed again as soon as it is back: restarts a second.
%%
%% The logger is off: neither side prints its reports.
-module(beam).
-behaviour(gen_server).
-export([run/1, start_link/1, init/1, handle_call/3, handle_cast/2]).

-define(TREES, 40).
-define(CRASHES, 50).  % of the one child of each tree
-define(CHILDREN, 100).

run([Mode]) ->
    ok = logger:set_primary_config(level, none),
    bench:in_process(fun latency/0),
    bench:in_process(fun() -> rate(case Mode of quick -> 20_000; full -> 100_000 end) end).

latency() ->
    _WarmUp = [tree_samples() || _ <- lists:seq(1, ?TREES div 4)],
    Samples = lists:append([tree_samples() || _ <- lists:seq(1, ?TREES)]),
    bench:result(restart, lists:nth(length(Samples) div 2, lists:sort(Samples)), ns).

tree_samples() ->
    {Supervisor, [Child]} = start_tree(1),
    Samples = samples(Child, ?CRASHES, []),
    bench_tree:stop(Supervisor),
    Samples.

samples(_Child, 0, Samples) ->
    Samples;
samples(Child, Left, Samples) ->
    Crashed = erlang:monotonic_time(nanosecond),
    gen_server:cast(Child, crash),
    receive
        {up, Successor} ->
            Back = erlang:monotonic_time(nanosecond),
            samples(Successor, Left - 1, [Back - Crashed | Samples])
    end.

rate(Restarts) ->
    {Supervisor, Children} = start_tree(?CHILDREN),
    Elapsed = bench:timed(fun() ->
        [gen_server:cast(Child, crash) || Child <- Children],
        restarts(Restarts - ?CHILDREN)
    end),
    bench_tree:stop(Supervisor),
    bench:result(restart_rate, Restarts / (Elapsed / 1.0e9), per_s).

%% Each report but the last 100 is answered by another crash.
restarts(0) ->
    [receive {up, _} -> ok end || _ <- lists:seq(1, ?CHILDREN)];
restarts(Left) ->
    receive {up, Child} -> gen_server:cast(Child, crash) end,
    restarts(Left - 1).

start_tree(Size) ->
    {ok, Supervisor} = bench_tree:start_link(Size, {?MODULE, start_link, [self()]}),
    {Supervisor, [receive {up, Child} -> Child end || _ <- lists:seq(1, Size)]}.

start_link(Tester) -> gen_server:start_link(?MODULE, Tester, []).

init(Tester) ->
    Tester ! {up, self()},
    {ok, Tester}.

handle_call(tester, _From, Tester) -> {reply, Tester, Tester}.

handle_cast(crash, _Tester) -> error(crash).
