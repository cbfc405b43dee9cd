import os
from pathlib import Path

from app.preprocess.sessions.checkpoints import recovery_options
from app.settings import Settings


def checkpoint(home: Path, job: str, number: int, seconds: int, whole: bool = True) -> Path:
    path = home / "preprocess" / "checkpoints" / "ocr" / job / f"chk-{number}"
    path.mkdir(parents=True)
    if whole:
        (path / "_metadata").write_bytes(b"")
        os.utime(path / "_metadata", (seconds, seconds))
    return path


def test_a_first_start_goes_on_from_nothing(tmp_path: Path) -> None:
    options = recovery_options(Settings(home=tmp_path), "ocr")
    assert "execution.state-recovery.path" not in options


def test_a_start_goes_on_from_the_newest_whole_checkpoint_and_removes_older_jobs(tmp_path: Path) -> None:
    old = checkpoint(tmp_path, "old", 90, 1)
    newest = checkpoint(tmp_path, "new", 2, 2)
    torn = checkpoint(tmp_path, "torn", 3, 3, whole=False)
    options = recovery_options(Settings(home=tmp_path), "ocr")
    assert options["execution.state-recovery.path"] == newest.as_uri()
    assert (old.parent.exists(), newest.exists(), torn.parent.exists()) == (False, True, False)


def test_operators_without_a_name_of_their_own_find_nothing_in_a_checkpoint(tmp_path: Path) -> None:
    first, second = (recovery_options(Settings(home=tmp_path), "ocr")["table.exec.uid.format"] for _ in range(2))
    assert first != second
