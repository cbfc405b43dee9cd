"""Memory limit of a run, enforced by the run itself, whichever backend starts it.

The resident memory of the process and its children is polled, because a native library may deadlock after a failed
allocation. RLIMIT_DATA, at twice the limit, stops growth that is faster than the polling.
"""

import resource
import threading
import time
from collections.abc import Callable

import psutil

_POLL_SECONDS = 0.1
_RLIMIT_FACTOR = 2


def limit_memory(max_bytes: int, on_exceeded: Callable[[], None]) -> None:
    """Call `on_exceeded` once, in a thread, when the limit is exceeded; allocations beyond twice the limit fail."""
    resource.setrlimit(resource.RLIMIT_DATA, (_RLIMIT_FACTOR * max_bytes, _RLIMIT_FACTOR * max_bytes))
    threading.Thread(target=_watch, args=(max_bytes, on_exceeded), daemon=True, name="memory").start()


def resident_bytes(process: psutil.Process) -> int:
    """Return the resident bytes of a process and its children."""
    total = process.memory_info().rss
    for child in process.children(recursive=True):
        try:
            total += child.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return int(total)


def _watch(max_bytes: int, on_exceeded: Callable[[], None]) -> None:
    process = psutil.Process()
    while resident_bytes(process) <= max_bytes:
        time.sleep(_POLL_SECONDS)
    on_exceeded()
