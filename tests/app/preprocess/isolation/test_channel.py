import socket
import threading
from collections.abc import Iterator

import pytest

from app.preprocess.isolation.channel import ChannelClosed, Message, MessageChannel


@pytest.fixture
def ends() -> Iterator[tuple[MessageChannel, MessageChannel]]:
    one, other = socket.socketpair()
    with one, other:
        yield MessageChannel(one), MessageChannel(other)


@pytest.mark.parametrize(
    "message", [("ready",), ("outputs", (("t", None, b"\0\xff", (("ü", b""),)),), None), ("x", 1.5, 2**70, "\ud800")]
)
def test_a_message_arrives_as_it_was_sent(ends: tuple[MessageChannel, MessageChannel], message: Message) -> None:
    ends[0].send(message)
    assert ends[1].receive(1) == message


def test_a_large_message_arrives_whole(ends: tuple[MessageChannel, MessageChannel]) -> None:
    data = bytes(20_000_000)
    sending = threading.Thread(target=ends[0].send, args=(("request", data),))
    sending.start()
    assert ends[1].receive(1) == ("request", data)
    sending.join()


def test_silence_is_no_message(ends: tuple[MessageChannel, MessageChannel]) -> None:
    assert ends[1].receive(0) is None


def test_an_end_that_is_closed_is_noticed_by_the_other(ends: tuple[MessageChannel, MessageChannel]) -> None:
    ends[0].close()
    with pytest.raises(ChannelClosed):
        ends[1].receive(1)


def test_an_end_that_dies_within_a_message_is_noticed() -> None:
    one, other = socket.socketpair()
    one.sendall(b"\0\0\0\0\0\0\0\x09half")
    one.close()
    with other, pytest.raises(ChannelClosed):
        MessageChannel(other).receive(1)


def test_a_message_that_is_announced_too_long_is_not_read() -> None:
    one, other = socket.socketpair()
    one.sendall(b"\x7f" + bytes(7))
    with one, other, pytest.raises(ChannelClosed, match="announced"):
        MessageChannel(other).receive(1)
