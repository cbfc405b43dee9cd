import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.embedded import lock
from app.errors import SetupError

HOLD = """
import sys, time
from pathlib import Path
from app.embedded.lock import HomeLock
lock = HomeLock(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
time.sleep(60)
"""


def test_a_second_platform_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    first = lock.HomeLock(tmp_path)
    assert first.acquire() is None
    assert lock.holder_pid(tmp_path) == os.getpid()
    with pytest.raises(SetupError, match=f"already runs in {tmp_path}: process {os.getpid()}") as caught:
        lock.HomeLock(tmp_path).acquire()
    assert "HINDSIGHT_HOME" in caught.value.remedy
    first.release()
    assert lock.holder_pid(tmp_path) is None
    second = lock.HomeLock(tmp_path)
    assert second.acquire() is None
    second.release()


def test_the_lock_of_a_dead_holder_is_taken_over(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        assert lock.holder_pid(tmp_path) == holder.pid
        holder.send_signal(signal.SIGKILL)
    assert lock.holder_pid(tmp_path) is None
    successor = lock.HomeLock(tmp_path)
    note = successor.acquire()
    assert note is not None
    assert f"Process {holder.pid}" in note
    assert lock.holder_pid(tmp_path) == os.getpid()
    successor.release()


def test_a_home_that_does_not_exist_has_no_holder(tmp_path: Path) -> None:
    assert lock.holder_pid(tmp_path / "nowhere") is None
