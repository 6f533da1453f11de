%% Looks a key up in a table of names as Elixir's Registry keeps it, a public ets table of {Key, {Pid, Value}}, and asks
%% whether the process is alive; and calls a server by such a name.
-module(beam).
-behaviour(gen_server).
-export([run/1, init/1, handle_call/3, handle_cast/2]).
-export([register_name/2, unregister_name/1, whereis_name/1, send/2]).

run([Mode]) ->
    registered = ets:new(registered, [set, public, named_table, {read_concurrency, true}]),
    Self = self(),
    [ets:insert(registered, {Key, {Self, nil}}) || Key <- lists:seq(0, 999)],
    bench:per_operation(registry_lookup, Mode, 1, fun(Rounds) ->
        bench:timed(fun() -> lookups(0, Rounds) end)
    end),
    ets:delete(registered, 7),
    {ok, _} = gen_server:start_link({via, ?MODULE, 7}, ?MODULE, 0, []),
    bench:per_operation(via_call, Mode, 1, fun(Rounds) ->
        bench:timed(fun() -> calls(Rounds) end)
    end).

lookups(_Key, 0) ->
    ok;
lookups(Key, Left) ->
    [{Key, {Pid, nil}}] = ets:lookup(registered, Key),
    true = is_process_alive(Pid),
    lookups((Key + 1) rem 1000, Left - 1).

calls(0) ->
    ok;
calls(Left) ->
    _ = gen_server:call({via, ?MODULE, 7}, increment),
    calls(Left - 1).

register_name(Key, Pid) ->
    case ets:insert_new(registered, {Key, {Pid, nil}}) of
        true -> yes;
        false -> no
    end.

unregister_name(Key) -> ets:delete(registered, Key).

whereis_name(Key) ->
    case ets:lookup(registered, Key) of
        [{Key, {Pid, _}}] ->
            case is_process_alive(Pid) of
                true -> Pid;
                false -> undefined
            end;
        [] ->
            undefined
    end.

send(Key, Message) -> whereis_name(Key) ! Message.

init(Count) -> {ok, Count}.

handle_call(increment, _From, Count) -> {reply, Count + 1, Count + 1}.

handle_cast(_Message, Count) -> {noreply, Count}.
