"""The bound of a run's memory, kept from within, whichever backend runs it.

By what the process and its children hold: of a library in native code whose allocation fails, some thread may be gone
and the rest wait for it for ever. That allocations fail is left for what grows faster than one can look.
"""

import resource
import threading
import time
from collections.abc import Callable

import psutil

_POLL_SECONDS = 0.1
_RLIMIT_FACTOR = 2


def limit_memory(max_bytes: int, on_exceeded: Callable[[], None]) -> None:
    """From now on: call this once, from a thread, when more bytes are held; of twice as many allocations fail."""
    resource.setrlimit(resource.RLIMIT_DATA, (_RLIMIT_FACTOR * max_bytes, _RLIMIT_FACTOR * max_bytes))
    threading.Thread(target=_watch, args=(max_bytes, on_exceeded), daemon=True, name="memory").start()


def resident_bytes(process: psutil.Process) -> int:
    """Bytes that a process and its children have in memory."""
    found = process.memory_info().rss
    for child in process.children(recursive=True):
        try:
            found += child.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return int(found)


def _watch(max_bytes: int, on_exceeded: Callable[[], None]) -> None:
    process = psutil.Process()
    while resident_bytes(process) <= max_bytes:
        time.sleep(_POLL_SECONDS)
    on_exceeded()
