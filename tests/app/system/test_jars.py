import errno
import hashlib
import os
import time
from pathlib import Path
from typing import Any

import pytest
from jgo.maven import PythonResolver

from app.errors import SetupError
from app.settings import Settings
from app.system import jars
from app.system.downloads import MAX_ATTEMPTS

CONTENT = b"a jar"
JAR = jars.Jar("some.group:thing:1.0", hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(jars, "settings", lambda: Settings(cache=tmp_path))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    (tmp_path / "jars").mkdir()
    return tmp_path / "jars"


class FakeMavenCentral:
    """Fake of Maven Central: each answer is content, or an error to raise."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: bytes | Exception) -> None:
        self.answers = list(answers)

        def download(_: Any, artifact: Any) -> Path:
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            path: Path = artifact.cached_path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(answer)
            return path

        monkeypatch.setattr(PythonResolver, "download", download)


def test_the_lock_names_kafka_and_the_connector_with_their_checksums() -> None:
    checksums = {jar.coordinate: jar.sha256 for jar in jars.read_lock()}
    assert {*jars.KAFKA, jars.METRICS, jars.CONNECTOR} <= checksums.keys()
    assert len(checksums) == 48
    assert all(len(checksum) == 64 for checksum in checksums.values())
    assert len({jar.filename for jar in jars.read_lock()}) == len(checksums)


def test_a_jar_is_fetched_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FakeMavenCentral(monkeypatch, CONTENT)
    assert jars.fetch_jars([JAR]) == [cache / "thing-1.0.jar"]
    assert jars.fetch_jars([JAR]) == [cache / "thing-1.0.jar"]
    assert (cache / "thing-1.0.jar").read_bytes() == CONTENT
    assert not list(cache.glob(".partial-*"))


def test_a_download_with_the_wrong_checksum_is_rejected(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FakeMavenCentral(monkeypatch, b"something else")
    with pytest.raises(SetupError, match="is not the file that") as caught:
        jars.fetch_jars([JAR])
    assert "make setup" in caught.value.remedy
    assert not (cache / "thing-1.0.jar").exists()


def test_a_file_that_was_changed_is_deleted_and_reported(cache: Path) -> None:
    path = cache / JAR.filename
    path.write_bytes(CONTENT)
    assert jars.is_verified(JAR)
    path.write_bytes(b"a rat")
    os.utime(path, ns=(1, 1))
    with pytest.raises(SetupError, match="sha256"):
        jars.is_verified(JAR)
    assert not path.exists()


def test_a_file_is_read_again_only_if_it_has_changed_or_on_request(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    sha256 = jars._sha256

    def counting_sha256(path: Path) -> str:
        read.append(path)
        return sha256(path)

    monkeypatch.setattr(jars, "_sha256", counting_sha256)
    (cache / JAR.filename).write_bytes(CONTENT)
    assert jars.is_verified(JAR)
    assert jars.is_verified(JAR)
    assert len(read) == 1
    assert jars.is_verified(JAR, recheck=True)
    assert len(read) == 2


def test_temporary_network_errors_are_retried(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FakeMavenCentral(monkeypatch, OSError("connection reset"), RuntimeError("503"), CONTENT)
    assert jars.fetch_jars([JAR])[0].exists()


def test_the_error_without_a_network_has_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeMavenCentral(monkeypatch, *[OSError("no route to host")] * MAX_ATTEMPTS)
    with pytest.raises(SetupError, match="cannot be fetched from Maven Central: no route to host") as caught:
        jars.fetch_jars([JAR])
    assert "HINDSIGHT_CACHE" in caught.value.remedy


def test_a_full_disk_is_not_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeMavenCentral(monkeypatch, OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(SetupError, match="No space left on device") as caught:
        jars.fetch_jars([JAR])
    assert "Free some space" in caught.value.remedy


def test_offline_no_network_is_tried_and_the_error_says_what_to_copy(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jars, "settings", lambda: Settings(cache=cache.parent, offline=True))
    central = FakeMavenCentral(monkeypatch, CONTENT)
    with pytest.raises(SetupError, match=r"thing-1\.0\.jar is not in .* HINDSIGHT_OFFLINE") as caught:
        jars.fetch_jars([JAR])
    assert "copy jars of its cache" in caught.value.remedy
    assert central.answers == [CONTENT]
    (cache / JAR.filename).write_bytes(CONTENT)
    assert jars.fetch_jars([JAR]) == [cache / JAR.filename]
