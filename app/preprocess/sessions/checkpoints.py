"""The state of live sessions on disk: where Flink keeps it, and what a start goes on from.

The log is read from the offsets that the group has committed, never from those in a checkpoint, which may be of
another cluster or of topics that are no more. Flink commits offsets only once their checkpoint is whole: so the newest
checkpoint knows of every chunk before them, and a chunk that is read again counts once, by its sequence.
"""

import shutil
import uuid
from pathlib import Path

from app.settings import Settings


def recovery_options(settings: Settings, task: str) -> dict[str, str]:
    """Return Flink's options for a task's job: keep checkpoints, go on from the newest one.

    What no start needs any more is removed.
    """
    directory = (settings.home / "preprocess" / "checkpoints" / task).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    newest = latest_checkpoint(directory)
    for job in directory.iterdir():
        if newest is None or job != newest.parent:
            shutil.rmtree(job)
    options = {
        "execution.checkpointing.storage": "filesystem",
        "execution.checkpointing.dir": directory.as_uri(),
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        # Operators of the plan have other names in each start: only what has a name of its own, and state, is
        # found in a checkpoint; a changed plan strands no state.
        "table.exec.uid.generation": "ALWAYS",
        "table.exec.uid.format": f"<id>_<transformation>_{uuid.uuid4()}",
    }
    if newest is not None:
        options |= {
            "execution.state-recovery.path": newest.as_uri(),
            "execution.state-recovery.ignore-unclaimed-state": "true",
            # The old directory is never needed once there is a new checkpoint.
            "execution.state-recovery.claim-mode": "NO_CLAIM",
        }
    return options


def latest_checkpoint(directory: Path) -> Path | None:
    """The newest checkpoint that is whole: Flink writes `_metadata` last."""
    whole = [path.parent for path in directory.glob("*/chk-*/_metadata")]
    return max(whole, key=lambda path: (path / "_metadata").stat().st_mtime_ns, default=None)
