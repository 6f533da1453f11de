%% A message with bytes of its own: they are made, sent, looked at by the receiver, which answers with their number.
%% They are a binary, which above 64 bytes is sent without a copy; made from pieces of up to
%% 4 KiB, since the emulator fills one byte after the other slowly.
-module(beam).
-export([run/1]).

run([Mode]) ->
    Receiver = spawn_link(fun receiver/0),
    [bench:per_operation(Row, Mode, 1, fun(Rounds) ->
        Piece = binary:copy(<<"x">>, min(Size, 4_096)),
        bench:timed(fun() -> parcels(Receiver, Piece, Size, Rounds) end)
    end) || {Row, Size} <- [{payload_16, 16}, {payload_1k, 1_024}, {payload_64k, 65_536}, {payload_1m, 1_048_576}]].

parcels(_Receiver, _Piece, _Size, 0) ->
    ok;
parcels(Receiver, Piece, Size, Left) ->
    Receiver ! {parcel, self(), binary:copy(Piece, Size div byte_size(Piece))},
    receive {received, Size} -> ok end,
    parcels(Receiver, Piece, Size, Left - 1).

receiver() ->
    receive
        {parcel, From, Bytes} ->
            $x = binary:last(Bytes),
            From ! {received, byte_size(Bytes)}
    end,
    receiver().
