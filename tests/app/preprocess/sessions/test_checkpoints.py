import os
from pathlib import Path

from app.preprocess.sessions.checkpoints import recovery_options
from app.settings import Settings


def write_checkpoint(home: Path, job: str, number: int, seconds: int, complete: bool = True) -> Path:
    path = home / "preprocess" / "checkpoints" / "ocr" / job / f"chk-{number}"
    path.mkdir(parents=True)
    if complete:
        (path / "_metadata").write_bytes(b"")
        os.utime(path / "_metadata", (seconds, seconds))
    return path


def test_a_first_start_recovers_from_no_checkpoint(tmp_path: Path) -> None:
    options = recovery_options(Settings(home=tmp_path), "ocr")
    assert "execution.state-recovery.path" not in options


def test_a_start_recovers_from_the_newest_complete_checkpoint_and_removes_those_of_older_jobs(tmp_path: Path) -> None:
    old = write_checkpoint(tmp_path, "old", 90, 1)
    newest = write_checkpoint(tmp_path, "new", 2, 2)
    incomplete = write_checkpoint(tmp_path, "incomplete", 3, 3, complete=False)
    options = recovery_options(Settings(home=tmp_path), "ocr")
    assert options["execution.state-recovery.path"] == newest.as_uri()
    assert (old.parent.exists(), newest.exists(), incomplete.parent.exists()) == (False, True, False)


def test_operators_without_an_explicit_uid_get_a_new_one_at_each_start(tmp_path: Path) -> None:
    first, second = (recovery_options(Settings(home=tmp_path), "ocr")["table.exec.uid.format"] for _ in range(2))
    assert first != second
