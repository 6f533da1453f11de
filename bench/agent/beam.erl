%% Asks an agent, which is a gen_server that runs funs, for a part of its state; and reads the same
%% from where an agent that is read a lot would publish it, a persistent term. By one process, and by two at once.
-module(beam).
-behaviour(gen_server).
-export([run/1, init/1, handle_call/3, handle_cast/2]).

-define(READS, 1_000).  % of each of two readers in a round

run([Mode]) ->
    State = #{retries => 3, limits => lists:duplicate(100, 7)},
    {ok, Agent} = gen_server:start_link(?MODULE, State, []),
    bench:per_operation(agent_get, Mode, 1, fun(Rounds) ->
        bench:timed(fun() -> gets(Agent, Rounds) end)
    end),
    bench:per_operation(agent_get_2, Mode, 2 * ?READS, fun(Rounds) ->
        two_at_once(fun() -> gets(Agent, Rounds * ?READS) end)
    end),
    persistent_term:put(config, State),
    bench:per_operation(agent_snapshot, Mode, 1, fun(Rounds) ->
        bench:timed(fun() -> snapshots(Rounds) end)
    end),
    bench:per_operation(agent_snapshot_2, Mode, 2 * ?READS, fun(Rounds) ->
        two_at_once(fun() -> snapshots(Rounds * ?READS) end)
    end).

%% From the start of the first to the end of both.
two_at_once(Reads) ->
    bench:timed(fun() ->
        Readers = [spawn_monitor(Reads) || _ <- [1, 2]],
        [receive {'DOWN', Monitor, process, _, normal} -> ok end || {_, Monitor} <- Readers]
    end).

gets(_Agent, 0) ->
    ok;
gets(Agent, Left) ->
    3 = gen_server:call(Agent, {get, fun(#{retries := Retries}) -> Retries end}),
    gets(Agent, Left - 1).

snapshots(0) ->
    ok;
snapshots(Left) ->
    #{retries := 3} = persistent_term:get(config),
    snapshots(Left - 1).

init(State) -> {ok, State}.

handle_call({get, Fun}, _From, State) -> {reply, Fun(State), State}.

handle_cast(_Message, State) -> {noreply, State}.
