import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from app.preprocess.flink_tls import tls_options
from app.settings import Settings
from app.system import java


def test_only_this_user_can_read_the_key_store_and_it_opens_with_the_password_in_the_options(tmp_path: Path) -> None:
    options = tls_options(Settings(home=tmp_path))
    store = Path(options["security.ssl.rest.keystore"])
    assert stat.S_IMODE(store.stat().st_mode) == 0o600
    assert options == tls_options(Settings(home=tmp_path))
    keytool = subprocess.run(
        [java.home() / "bin" / "keytool", "-list", "-storepass:env", "PASSWORD", "-keystore", store],
        env=os.environ | {"PASSWORD": options["security.ssl.internal.keystore-password"]},
        check=True,
        capture_output=True,
        text=True,
    )
    assert "PrivateKeyEntry" in keytool.stdout


def test_key_stores_of_ended_processes_are_removed_and_those_of_running_ones_stay(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as ended:
        pass
    directory = tmp_path / "preprocess"
    directory.mkdir()
    orphan, other, own = (directory / f"{pid}.p12" for pid in (ended.pid, os.getppid(), os.getpid()))
    for path in (orphan, other, own):
        path.write_bytes(b"old")
    tls_options(Settings(home=tmp_path))
    assert (orphan.exists(), other.read_bytes(), own.read_bytes() == b"old") == (False, b"old", False)


def test_a_cluster_gets_no_tls_options_and_no_key_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYFLINK_GATEWAY_PORT", "1")
    assert tls_options(Settings(home=tmp_path)) == {}
    assert not list(tmp_path.iterdir())
