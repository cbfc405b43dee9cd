import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from app.preprocess.flink_tls import tls_options
from app.settings import Settings
from app.system import java


def test_the_key_store_is_this_users_alone_and_opens_with_the_password_that_flink_is_told(tmp_path: Path) -> None:
    options = tls_options(Settings(home=tmp_path))
    store = Path(options["security.ssl.rest.keystore"])
    assert stat.S_IMODE(store.stat().st_mode) == 0o600
    assert options == tls_options(Settings(home=tmp_path))
    listed = subprocess.run(
        [java.home() / "bin" / "keytool", "-list", "-storepass:env", "PASSWORD", "-keystore", store],
        env=os.environ | {"PASSWORD": options["security.ssl.internal.keystore-password"]},
        check=True,
        capture_output=True,
        text=True,
    )
    assert "PrivateKeyEntry" in listed.stdout


def test_what_processes_that_are_no_more_left_is_removed_and_others_keep_theirs(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as ended:
        pass
    directory = tmp_path / "preprocess"
    directory.mkdir()
    left, others, own = (directory / f"{pid}.p12" for pid in (ended.pid, os.getppid(), os.getpid()))
    for path in (left, others, own):
        path.write_bytes(b"old")
    tls_options(Settings(home=tmp_path))
    assert (left.exists(), others.read_bytes(), own.read_bytes() == b"old") == (False, b"old", False)


def test_a_cluster_has_its_own_guards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYFLINK_GATEWAY_PORT", "1")
    assert tls_options(Settings(home=tmp_path)) == {}
    assert not list(tmp_path.iterdir())
