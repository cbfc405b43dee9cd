"""Limits of the API's connections, so that clients that send their request slowly or never don't block others.

uvicorn has no such limits: it waits without end for the rest of a request, and accepts connections until no file
descriptor is left.
"""

import asyncio
import logging
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

log = logging.getLogger(__name__)

WINDOW_SECONDS = 10.0
"""A request's headers must be complete by the end of the window after the one in which the client may begin."""
MIN_BODY_BYTES = 5_000
"""Minimum bytes of an incomplete body in each window."""
MAX_HEADER_BYTES = 64 * 1024
"""Maximum size of the request line and the headers, with what httptools reads ahead."""
MAX_CONNECTIONS = 500
"""Beyond it the oldest connection without a complete request is closed, or the new one if there is none."""


class BoundedProtocol(HttpToolsProtocol):
    """One HTTP connection within the limits."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._header_bytes = 0
        self._window_bytes = 0
        self._window_cycle: object = self  # equals no request's cycle: the first window never counts as slow
        self._opened = 0.0

    @property
    def is_incomplete(self) -> bool:
        """Whether the server waits for the client."""
        return self.cycle is None or self.cycle.response_complete or self.cycle.more_body

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept the connection if there is room or another one can be closed for it."""
        self._opened = self.loop.time()
        if len(self.connections) >= MAX_CONNECTIONS:
            log.warning("%d connections: closing the oldest without a complete request", MAX_CONNECTIONS)
            incomplete = [
                connection
                for connection in self.connections
                if isinstance(connection, BoundedProtocol) and connection.is_incomplete
            ]
            if not incomplete:
                super().connection_made(transport)
                transport.abort()
                return
            min(incomplete, key=lambda connection: connection._opened).abort()
        super().connection_made(transport)
        self.loop.call_later(WINDOW_SECONDS, self._end_window)

    def abort(self) -> None:
        """Close at once and drop unsent data."""
        self.connections.discard(self)  # at once, for connections that come before the event loop's next iteration
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Process the data, and refuse headers above the limit."""
        previous_cycle = self.cycle
        super().data_received(data)
        self._window_bytes += len(data)
        if self.cycle is not previous_cycle:
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
