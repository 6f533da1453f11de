%% A one_for_one supervisor of Size children that all start alike: bench_tree:start_link/2
%% takes the number and the {Module, Function, Arguments} that starts one.
%% Its intensity is out of reach: the programs measure restarts, not giving up.
-module(bench_tree).
-behaviour(supervisor).
-export([start_link/2, stop/1, init/1]).

start_link(Size, Start) -> supervisor:start_link(?MODULE, {Size, Start}).

%% Ends the tree and waits until it has gone.
stop(Supervisor) ->
    Monitor = monitor(process, Supervisor),
    unlink(Supervisor),
    exit(Supervisor, shutdown),
    bench:await_down([Monitor]).

init({Size, Start}) ->
    Children = [#{id => Id, start => Start, shutdown => brutal_kill}
                || Id <- lists:seq(1, Size)],
    {ok, {#{strategy => one_for_one, intensity => 10_000_000, period => 1}, Children}}.
