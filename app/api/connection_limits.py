"""Bounds on the API's connections: a client that sends its request slowly, or never, holds up nobody.

uvicorn has none: it waits for ever for the rest of a request, and takes connections until no file can be opened.
"""

import asyncio
import logging
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

log = logging.getLogger(__name__)

WINDOW_SECONDS = 10.0
"""A request's headers have to be complete at the end of the window after the one in which the client may send them."""
MIN_BODY_BYTES = 5_000
"""So many bytes of an incomplete body have to come in each window."""
MAX_HEADER_BYTES = 64 * 1024
"""The line, the headers, and what httptools reads ahead."""
MAX_CONNECTIONS = 500
"""Beyond it the oldest connection whose request is not complete gives way; where there is none, the new one."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._header_bytes = 0
        self._window_bytes = 0
        self._window_cycle: object = self  # of no request: the first window only begins to look
        self._opened = 0.0

    @property
    def is_incomplete(self) -> bool:
        """Whether the client still has to send something before there is anything to do for it."""
        return self.cycle is None or self.cycle.response_complete or self.cycle.more_body

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, if there is room or room can be made."""
        self._opened = self.loop.time()
        if len(self.connections) >= MAX_CONNECTIONS:
            log.warning("%d connections: the oldest without a complete request is closed", MAX_CONNECTIONS)
            others = [one for one in self.connections if isinstance(one, BoundedProtocol) and one.is_incomplete]
            if not others:
                super().connection_made(transport)
                transport.abort()
                return
            min(others, key=lambda one: one._opened).abort()
        super().connection_made(transport)
        self.loop.call_later(WINDOW_SECONDS, self._end_window)

    def abort(self) -> None:
        """Close at once, whatever is still to be sent."""
        self.connections.discard(self)  # for whoever comes before this loop's next turn
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Hand on what came, unless it is a header without end."""
        before = self.cycle
        super().data_received(data)
        self._window_bytes += len(data)
        if self.cycle is not before:
            self._header_bytes = 0
        elif self._awaits_headers():
            self._header_bytes += len(data)
            if self._header_bytes > MAX_HEADER_BYTES and not self.transport.is_closing():
                self.send_400_response("The headers are too large.")

    def _awaits_headers(self) -> bool:
        return self.cycle is None or (self.cycle.response_complete and not self.cycle.more_body)

    def _end_window(self) -> None:
        if self not in self.connections or self.transport.is_closing():
            return
        if self._awaits_headers():
            slow = self._window_cycle is self.cycle
        else:
            slow = self.cycle.more_body and not self.flow.read_paused and self._window_bytes < MIN_BODY_BYTES
        if slow:
            self.abort()
            return
        self._window_cycle, self._window_bytes = self.cycle, 0
        self.loop.call_later(WINDOW_SECONDS, self._end_window)
