%% The tail of latencies: calls and timers under load, and what one bad process does to the
%% others. See otp.cpp: the same requests, due at the same instants.
-module(beam).
-behaviour(gen_server).
-export([run/1, start_link/1, init/1, handle_call/3, handle_cast/2]).

-define(CLIENTS, 64).
-define(SECOND, 1_000_000_000).

run([Mode]) ->
    ok = logger:set_primary_config(level, none),
    Length = case Mode of quick -> 2; full -> 10 end * ?SECOND,
    bench:in_process(fun() -> percentiles("timer_idle", timers(?SECOND)) end),
    bench:in_process(fun() -> percentiles("load50", open_loop(10_000, 50_000, Length)) end),
    bench:in_process(fun() ->
        Owner = self(),
        spawn_link(fun() -> Owner ! {late, timers(Length)} end),
        percentiles("load90", open_loop(18_000, 50_000, Length)),
        receive {late, Late} -> percentiles("timer_load", Late) end
    end),
    bench:in_process(fun() -> calm("calm", Length) end),
    [bench:in_process(fun() ->
        {ok, Hog} = gen_server:start_link(?MODULE, none, []),
        gen_server:cast(Hog, {compute, 10 * ?SECOND}),
        calm(Row, 10 * ?SECOND),
        gen_server:stop(Hog)
    end) || Row <- ["hog", "hog_apart"]],  % nothing to be done for it here
    bench:in_process(fun() ->
        {Storm, Monitor} = spawn_monitor(fun crash_on/0),
        calm("crashes", Length),
        Storm ! finish,
        receive {'DOWN', Monitor, process, _, normal} -> ok end
    end).

calm(Row, Length) -> percentiles(Row, open_loop(2_000, 10_000, Length)).

%% Runs requests of Work nanoseconds each, so many a second, for a time; returns their latencies.
open_loop(PerSecond, Work, Length) ->
    {ok, Server} = gen_server:start_link(?MODULE, none, []),
    Owner = self(),
    Clients = list_to_tuple([spawn_link(fun() -> client(Server, Work, Owner, []) end)
                             || _ <- lists:seq(1, ?CLIENTS)]),
    MeanGap = 1.0e9 / PerSecond,
    {Gap, State} = next_gap(42, MeanGap),
    Start = erlang:monotonic_time(nanosecond),
    Sent = pace(Clients, 0, Start, Gap, Length, MeanGap, State),
    [Client ! finish || Client <- tuple_to_list(Clients)],
    All = lists:append([receive {latencies, Mine} -> Mine end || _ <- lists:seq(1, ?CLIENTS)]),
    Sent = length(All),
    gen_server:stop(Server),
    All.

pace(_Clients, Sent, _Start, Next, Length, _MeanGap, _State) when Next >= Length ->
    Sent;
pace(Clients, Sent, Start, Next, Length, MeanGap, State) ->
    Due = Start + trunc(Next),
    case Due > erlang:monotonic_time(nanosecond) of
        true ->
            erlang:yield(),
            pace(Clients, Sent, Start, Next, Length, MeanGap, State);
        false ->
            element(Sent rem ?CLIENTS + 1, Clients) ! {due, Due},
            {Gap, NextState} = next_gap(State, MeanGap),
            pace(Clients, Sent + 1, Start, Next + Gap, Length, MeanGap, NextState)
    end.

next_gap(State, MeanGap) ->
    Drawn = (State * 1_103_515_245 + 12_345) rem 2_147_483_648,
    {-MeanGap * math:log((Drawn + 1) / 2_147_483_649.0), Drawn}.

client(Server, Work, Owner, Latencies) ->
    receive
        {due, Due} ->
            _ = gen_server:call(Server, {work, Work}, infinity),
            client(Server, Work, Owner, [erlang:monotonic_time(nanosecond) - Due | Latencies]);
        finish ->
            Owner ! {latencies, Latencies}
    end.

%% How late the messages of timers of 1 to 100 ms are, one after the other from ten processes.
timers(Length) ->
    Owner = self(),
    [spawn_link(fun() ->
        End = erlang:monotonic_time(nanosecond) + Length,
        Owner ! {latencies, timers(I, End, [])}
     end) || I <- lists:seq(0, 9)],
    lists:append([receive {latencies, Mine} -> Mine end || _ <- lists:seq(0, 9)]).

timers(N, End, Late) ->
    Now = erlang:monotonic_time(nanosecond),
    case Now < End orelse Late =:= [] of
        true ->
            Delay = 1 + N * 37 rem 100,
            _ = erlang:send_after(Delay, self(), {due, Now + Delay * 1_000_000}),
            receive {due, Due} -> ok end,
            timers(N + 1, End, [erlang:monotonic_time(nanosecond) - Due | Late]);
        false ->
            Late
    end.

%% Crashes a hundred supervised children, each again as soon as it is back, until it is told to finish.
crash_on() ->
    {ok, Supervisor} = bench_tree:start_link(100, {?MODULE, start_link, [self()]}),
    [receive {up, Child} -> gen_server:cast(Child, crash) end || _ <- lists:seq(1, 100)],
    crashes(),
    [receive {up, _} -> ok end || _ <- lists:seq(1, 100)],
    bench_tree:stop(Supervisor).

crashes() ->
    receive
        {up, Child} ->
            gen_server:cast(Child, crash),
            crashes();
        finish ->
            ok
    end.

percentiles(Row, Samples) ->
    Sorted = list_to_tuple(lists:sort(Samples)),
    [bench:result(Row ++ Name, per_mille(Sorted, Thousandths) / 1.0e3, us)
     || {Name, Thousandths} <- [{"_p50", 500}, {"_p99", 990}, {"_p999", 999}]].

per_mille(Sorted, Thousandths) ->
    Size = tuple_size(Sorted),
    element(min(Size, Size * Thousandths div 1_000 + 1), Sorted).

start_link(Tester) -> gen_server:start_link(?MODULE, Tester, []).

init(Tester) ->
    is_pid(Tester) andalso (Tester ! {up, self()}),
    {ok, 0}.

handle_call({work, Nanoseconds}, _From, Count) ->
    compute_until(erlang:monotonic_time(nanosecond) + Nanoseconds),
    {reply, Count + 1, Count + 1}.

handle_cast({compute, Nanoseconds}, Count) ->
    compute_until(erlang:monotonic_time(nanosecond) + Nanoseconds),
    {noreply, Count};
handle_cast(crash, _Count) ->
    error(crash).

compute_until(Instant) ->
    case erlang:monotonic_time(nanosecond) < Instant of
        true -> compute_until(Instant);
        false -> ok
    end.
