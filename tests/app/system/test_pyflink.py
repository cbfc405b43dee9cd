import os
import subprocess
import sys
from pathlib import Path

import find_libpython
import pytest

from app.errors import SetupError
from app.settings import CHECKOUT
from app.system.pyflink import THREAD_MODE_MODULES, prepare_java
from tests.support.platform import platform_settings


def test_flinks_python_path_starts_with_its_own_and_keeps_the_paths_of_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("JAVA_HOME", "JVM_ARGS", "FLINK_LOG_DIR"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.pathsep}{CHECKOUT}")
    for _ in range(2):  # a second call changes nothing
        prepare_java(platform_settings(tmp_path))
        first, second, third, *others = os.environ["PYTHONPATH"].split(os.pathsep)
        assert (first, second) == (str(THREAD_MODE_MODULES), str(CHECKOUT))
        assert third.endswith("site-packages")
        assert others == [str(tmp_path)]
    assert sys.path.count(str(THREAD_MODE_MODULES)) == 1


def test_pyflink_finds_no_beam_in_thread_mode_and_finds_it_in_process_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("JAVA_HOME", "JVM_ARGS", "FLINK_LOG_DIR", "PYTHONPATH"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(sys, "path", [*sys.path])
    prepare_java(platform_settings(tmp_path))
    command = [sys.executable, "-c", "import apache_beam"]
    assert b"does not need Apache Beam" in subprocess.run(command, capture_output=True, check=False).stderr
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setattr(find_libpython, "find_libpython", lambda: None)
    prepare_java(platform_settings(tmp_path, flink_process_mode=True))
    assert str(THREAD_MODE_MODULES) not in os.environ["PYTHONPATH"].split(os.pathsep)


def test_a_python_that_flink_cannot_load_is_an_error_unless_process_mode_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("JAVA_HOME", "JVM_ARGS", "FLINK_LOG_DIR", "PYTHONPATH"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(find_libpython, "find_libpython", lambda: None)
    with pytest.raises(SetupError, match="libpython"):
        prepare_java(platform_settings(tmp_path))
    prepare_java(platform_settings(tmp_path, flink_process_mode=True))
