"""One pool per task, which all Flink operators of the task share in this process."""

import threading
from dataclasses import dataclass

from app.preprocess.isolation.pool import WorkerPool
from app.settings import Settings


@dataclass
class _SharedPool:
    pool: WorkerPool
    users: int = 0


_shared_pools: dict[str, _SharedPool] = {}
_lock = threading.Lock()


def acquire(settings: Settings, task: str) -> WorkerPool:
    """Return the task's pool and start it for its first user. Each caller must `release` it once."""
    with _lock:
        shared = _shared_pools.get(task)
        if shared is None:
            shared = _shared_pools[task] = _SharedPool(WorkerPool(settings, task))
        shared.users += 1
        return shared.pool


def release(task: str) -> None:
    """End one use of the task's pool. The last user ends its workers."""
    with _lock:
        shared = _shared_pools[task]
        shared.users -= 1
        if shared.users == 0:
            del _shared_pools[task]
    if shared.users == 0:
        shared.pool.close()
