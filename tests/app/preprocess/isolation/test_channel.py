import socket
import threading
from collections.abc import Iterator

import pytest

from app.preprocess.isolation.channel import ChannelClosed, Message, MessageChannel


@pytest.fixture
def ends() -> Iterator[tuple[MessageChannel, MessageChannel]]:
    first, second = socket.socketpair()
    with first, second:
        yield MessageChannel(first), MessageChannel(second)


@pytest.mark.parametrize(
    "message", [("ready",), ("outputs", (("t", None, b"\0\xff", (("ü", b""),)),), None), ("x", 1.5, 2**70, "\ud800")]
)
def test_a_message_arrives_as_it_was_sent(ends: tuple[MessageChannel, MessageChannel], message: Message) -> None:
    ends[0].send(message)
    assert ends[1].receive(1) == message


def test_a_large_message_arrives_whole(ends: tuple[MessageChannel, MessageChannel]) -> None:
    data = bytes(20_000_000)
    sender = threading.Thread(target=ends[0].send, args=(("request", data),))
    sender.start()
    assert ends[1].receive(1) == ("request", data)
    sender.join()


def test_receive_returns_none_if_no_message_comes_in_time(ends: tuple[MessageChannel, MessageChannel]) -> None:
    assert ends[1].receive(0) is None


def test_receive_raises_once_the_other_end_is_closed(ends: tuple[MessageChannel, MessageChannel]) -> None:
    ends[0].close()
    with pytest.raises(ChannelClosed):
        ends[1].receive(1)


def test_receive_raises_if_the_other_end_dies_within_a_message() -> None:
    sender, receiver = socket.socketpair()
    sender.sendall(b"\0\0\0\0\0\0\0\x09half")
    sender.close()
    with receiver, pytest.raises(ChannelClosed):
        MessageChannel(receiver).receive(1)


def test_a_message_whose_length_exceeds_the_bound_is_not_read() -> None:
    sender, receiver = socket.socketpair()
    sender.sendall(b"\x7f" + bytes(7))
    with sender, receiver, pytest.raises(ChannelClosed, match="exceeds 1,073,741,824 bytes"):
        MessageChannel(receiver).receive(1)
