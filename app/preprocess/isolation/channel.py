"""Messages over a socket between the pool and one of its workers: a length, then a tuple of plain values."""

import marshal
import select
import socket
import struct
from typing import Any

_LENGTH = struct.Struct("!Q")
MAX_MESSAGE_BYTES = 1 << 30
"""Payloads and features are bounded far below this size."""
TRANSFER_SECONDS = 30.0
"""Both ends read at once, so a transfer that takes longer means that the other end is stopped."""

Message = tuple[Any, ...]
"""A name, then its values: bytes, text, numbers, None, and tuples of these."""


class ChannelClosed(Exception):
    """The other end is closed, or stopped in the middle of a message."""


class MessageChannel:
    """One end of a connection. Messages are marshalled: both ends are the same Python, and marshal runs no code."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._socket.settimeout(TRANSFER_SECONDS)

    def send(self, message: Message) -> None:
        """Send a message. Raises `ChannelClosed`."""
        data = marshal.dumps(message)
        try:
            self._socket.sendall(_LENGTH.pack(len(data)) + data)
        except OSError as error:
            raise ChannelClosed(str(error)) from error

    def receive(self, seconds: float | None = None) -> Message | None:
        """Return the next message; None if none begins within `seconds`. Raises `ChannelClosed`."""
        try:
            if not select.select([self._socket], [], [], seconds)[0]:
                return None
            [length] = _LENGTH.unpack(self._receive_exactly(_LENGTH.size))
            if length > MAX_MESSAGE_BYTES:
                raise ChannelClosed(f"the length {length:,} of a message exceeds {MAX_MESSAGE_BYTES:,} bytes")
            message: Message = marshal.loads(self._receive_exactly(length))  # noqa: S302  # from our own child or parent
        except (OSError, ValueError, EOFError) as error:
            raise ChannelClosed(str(error)) from error
        return message

    def close(self) -> None:
        """Close this end. The other end then raises `ChannelClosed`."""
        self._socket.close()

    def _receive_exactly(self, size: int) -> bytearray:
        data = bytearray(size)
        view = memoryview(data)
        while view:
            count = self._socket.recv_into(view)
            if count == 0:
                raise ChannelClosed("the other end is closed")
            view = view[count:]
        return data
