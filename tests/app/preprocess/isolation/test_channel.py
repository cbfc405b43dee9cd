import socket
import threading
from collections.abc import Iterator

import pytest

from app.preprocess.isolation.channel import Channel, ChannelClosed, Message


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    one, other = socket.socketpair()
    with one, other:
        yield Channel(one), Channel(other)


@pytest.mark.parametrize(
    "message", [("ready",), ("outputs", (("t", None, b"\0\xff", (("ü", b""),)),), None), ("x", 1.5, 2**70, "\ud800")]
)
def test_a_message_arrives_as_it_was_sent(ends: tuple[Channel, Channel], message: Message) -> None:
    ends[0].send(message)
    assert ends[1].receive(1) == message


def test_a_large_message_arrives_whole(ends: tuple[Channel, Channel]) -> None:
    data = bytes(20_000_000)
    sending = threading.Thread(target=ends[0].send, args=(("request", data),))
    sending.start()
    assert ends[1].receive(1) == ("request", data)
    sending.join()


def test_silence_is_no_message(ends: tuple[Channel, Channel]) -> None:
    assert ends[1].receive(0) is None


def test_an_end_that_is_closed_is_noticed_by_the_other(ends: tuple[Channel, Channel]) -> None:
    ends[0].close()
    with pytest.raises(ChannelClosed):
        ends[1].receive(1)


def test_an_end_that_dies_within_a_message_is_noticed() -> None:
    one, other = socket.socketpair()
    one.sendall(b"\0\0\0\0\0\0\0\x09half")
    one.close()
    with other, pytest.raises(ChannelClosed):
        Channel(other).receive(1)


def test_a_message_that_is_announced_too_long_is_not_read() -> None:
    one, other = socket.socketpair()
    one.sendall(b"\x7f" + bytes(7))
    with one, other, pytest.raises(ChannelClosed, match="announced"):
        Channel(other).receive(1)
