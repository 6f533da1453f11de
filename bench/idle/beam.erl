%% The processor time that a running system takes while nothing is asked of it: 10,000 idle
%% servers, of which a hundred have a timer that ticks once a second.
-module(beam).
-behaviour(gen_server).
-export([run/1, init/1, handle_call/3, handle_cast/2, handle_info/2]).

run([Mode]) ->
    Length = case Mode of quick -> 3_000; full -> 10_000 end,
    [First | _] = [begin {ok, Server} = gen_server:start(?MODULE, I =< 100, []), Server end
                   || I <- lists:seq(1, 10_000)],
    timer:sleep(500),  % the schedulers' busy waiting ends
    Before = bench:processor_nanoseconds(),
    Elapsed = bench:timed(fun() -> timer:sleep(Length) end),
    Used = bench:processor_nanoseconds() - Before,
    true = gen_server:call(First, value) >= Length div 1_000,
    bench:result(idle, Used / 1.0e3 / (Elapsed / 1.0e9), 'us/s').

init(Ticks) ->
    Ticks andalso timer:send_interval(1_000, tick),
    {ok, 0}.

handle_call(value, _From, Count) -> {reply, Count, Count}.
handle_cast(_Message, Count) -> {noreply, Count}.
handle_info(tick, Count) -> {noreply, Count + 1}.
