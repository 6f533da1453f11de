%% 200 processes, each of which sends a message to every other and waits for all answers.
-module(beam).
-export([run/1]).

-define(PROCESSES, 200).
-define(MESSAGES, ?PROCESSES * (?PROCESSES - 1) * 2).

run([Mode]) ->
    bench:per_operation(big, Mode, ?MESSAGES, fun(Rounds) ->
        Owner = self(),
        All = [spawn_link(fun() -> member(Owner) end) || _ <- lists:seq(1, ?PROCESSES)],
        [Member ! {members, lists:delete(Member, All)} || Member <- All],
        Elapsed = bench:timed(fun() -> rounds(All, Rounds) end),
        [begin unlink(Member), exit(Member, kill) end || Member <- All],
        Elapsed
    end).

rounds(_All, 0) ->
    ok;
rounds(All, Left) ->
    [Member ! go || Member <- All],
    [receive done -> ok end || _ <- All],
    rounds(All, Left - 1).

member(Owner) ->
    receive {members, Others} -> member(Owner, Others, 0) end.

member(Owner, Others, Missing) ->
    receive
        go ->
            Self = self(),
            [Other ! {ping, Self} || Other <- Others],
            member(Owner, Others, ?PROCESSES - 1);
        {ping, From} ->
            From ! pong,
            member(Owner, Others, Missing);
        pong ->
            Missing =:= 1 andalso (Owner ! done),
            member(Owner, Others, Missing - 1)
    end.
