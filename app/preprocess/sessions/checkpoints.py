"""The job's checkpoints on disk, and the one from which a start recovers.

The log is read from the group's committed offsets, never from the offsets in a checkpoint, which may belong to another
cluster or to deleted topics. Flink commits offsets only once their checkpoint is complete. So the newest checkpoint
contains every chunk before the committed offsets, and a chunk that is read again counts once, by its sequence.
"""

import shutil
import uuid
from pathlib import Path

from app.settings import Settings


def recovery_options(settings: Settings, task: str) -> dict[str, str]:
    """Return Flink's options for a task's job: keep checkpoints and recover from the newest one.

    Remove the checkpoints of older jobs.
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
        # The plan's operators get new uids at each start: a checkpoint restores only operators with an explicit uid,
        # so a changed plan leaves no state that can't be restored.
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
    """Return the newest complete checkpoint: Flink writes `_metadata` last."""
    complete = [path.parent for path in directory.glob("*/chk-*/_metadata")]
    return max(complete, key=lambda path: (path / "_metadata").stat().st_mtime_ns, default=None)
