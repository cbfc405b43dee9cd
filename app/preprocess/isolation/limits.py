"""Limits of a process that reads strangers' files."""

import resource
from contextlib import suppress
from pathlib import Path


def limit_memory(memory_mib: int) -> None:
    """Bound this process's memory, and let the kernel's OOM killer choose it first."""
    limit = memory_mib << 20
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):  # Linux only
        Path("/proc/self/oom_score_adj").write_text("500")
