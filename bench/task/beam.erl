%% Starts a task and awaits its result, with what Elixir's Task.async/1 and Task.await/1 do: a linked process that knows
%% its callers, a monitor with an alias, a first message that tells the task where to answer.
-module(beam).
-export([run/1, task/2]).

run([Mode]) ->
    bench:per_operation(task, Mode, 1, fun(Rounds) ->
        bench:timed(fun() ->
            Sum = tasks(Rounds, 0),
            Sum = Rounds * (Rounds + 1) div 2
        end)
    end).

tasks(0, Sum) ->
    Sum;
tasks(Left, Sum) ->
    tasks(Left - 1, Sum + await(async(fun() -> Left end))).

async(Function) ->
    Task = proc_lib:spawn_link(?MODULE, task, [self(), Function]),
    Ref = erlang:monitor(process, Task, [{alias, demonitor}]),
    Task ! {self(), Ref},
    Ref.

await(Ref) ->
    receive
        {Ref, Result} ->
            erlang:demonitor(Ref, [flush]),
            Result;
        {'DOWN', Ref, process, _, Reason} ->
            exit(Reason)
    after 5000 ->
        exit(timeout)
    end.

task(Owner, Function) ->
    put('$callers', [Owner]),
    receive
        {Owner, Ref} -> Ref ! {Ref, Function()}
    end.
