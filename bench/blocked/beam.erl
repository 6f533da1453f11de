%% 100,000 processes that wait in a call, of a server that does not answer yet; growth of
%% resident memory by one.
-module(beam).
-behaviour(gen_server).
-export([run/1, init/1, handle_call/3, handle_cast/2]).

-define(PROCESSES, 100_000).
-define(WARM_UP, 1_000).

run([_Mode]) ->
    bench:in_process(fun() ->
        {ok, Server} = gen_server:start(?MODULE, [], []),
        block(Server, ?WARM_UP),
        Before = bench:resident_bytes(),
        block(Server, ?PROCESSES),
        bench:result(blocked, (bench:resident_bytes() - Before) / ?PROCESSES, bytes),
        gen_server:cast(Server, answer),
        [receive {'DOWN', _, process, _, normal} -> ok end
         || _ <- lists:seq(1, ?PROCESSES + ?WARM_UP)]
    end).

block(Server, Count) ->
    Target = gen_server:call(Server, waiting) + Count,
    [spawn_monitor(fun() -> 1 = gen_server:call(Server, wait, infinity) end)
     || _ <- lists:seq(1, Count)],
    await(Server, Target).

await(Server, Target) ->
    gen_server:call(Server, waiting) =:= Target orelse await(Server, Target).

init(Kept) -> {ok, Kept}.

handle_call(wait, From, Kept) -> {noreply, [From | Kept]};
handle_call(waiting, _From, Kept) -> {reply, length(Kept), Kept}.

handle_cast(answer, Kept) ->
    [gen_server:reply(From, 1) || From <- Kept],
    {noreply, []}.
