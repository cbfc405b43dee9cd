from pathlib import Path

import pytest

from app.errors import SetupError
from app.system import java


def test_the_runtime_of_the_virtual_environment_runs() -> None:
    assert java.java_binary().is_file()
    assert "21." in java.runtime_version()


def test_the_error_of_a_missing_runtime_has_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "home", lambda: tmp_path)
    with pytest.raises(SetupError, match="missing") as caught:
        java.java_binary()
    assert "make setup" in caught.value.remedy


def test_a_runtime_that_does_not_start_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "java"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho wrong machine >&2\nexit 3\n")
    monkeypatch.setattr(java, "home", lambda: tmp_path)
    with pytest.raises(SetupError, match="not executable"):
        java.java_binary()
    program.chmod(0o755)
    with pytest.raises(SetupError, match="ends with code 3: wrong machine"):
        java.runtime_version()
