"""Jars of Kafka, of its metrics exporter and of Flink's Kafka connector, from Maven Central.

`jars.lock` holds the sha256 of each. `python -m app.system.jars` fetches them, `python -m app.system.jars lock` writes
the lock.
"""

import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jgo.maven import MavenContext, PythonResolver
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from app.errors import SetupError
from app.settings import MiB, settings
from app.system.downloads import LOCAL_ERRNOS, MAX_ATTEMPTS, TIMEOUT_SECONDS, offline_error, unwritable_error

LOCK = Path(__file__).with_name("jars.lock")
KAFKA = ("org.apache.kafka:kafka_2.13:4.1.2", "org.slf4j:slf4j-simple:1.7.36")
METRICS = "io.prometheus.jmx:jmx_prometheus_javaagent:1.0.1"
CONNECTOR = "org.apache.flink:flink-sql-connector-kafka:5.0.0-2.2"
CODECS = ("zstd-jni", "lz4-java", "snappy-java")
"""Compression codecs of Kafka's clients, except gzip: the connector does not contain them."""

MAX_PARALLEL_DOWNLOADS = 6
FileStamp = list[int | str]
"""Size, mtime and sha256 of a verified file."""


@dataclass(frozen=True)
class Jar:
    """Line of the lock: a Maven coordinate and the sha256 of its file."""

    coordinate: str
    sha256: str

    @property
    def filename(self) -> str:
        """Name of the file in a Maven repository."""
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"


def read_lock() -> list[Jar]:
    """Return the jars of the lock, in its order."""
    lines = (line for line in LOCK.read_text().splitlines() if line and not line.startswith("#"))
    return [Jar(*line.split()) for line in lines]


def jar_directory() -> Path:
    """Return the directory of the jars, shared by all checkouts."""
    return settings().cache / "jars"


def kafka_classpath() -> list[Path]:
    """Return the broker's class path; fetch missing jars."""
    return fetch_jars([jar for jar in read_lock() if jar.coordinate not in (METRICS, CONNECTOR)])


def flink_classpath() -> list[Path]:
    """Return the jars with which Flink reads Kafka, with all compression codecs; fetch missing jars."""
    codecs = [jar for jar in read_lock() if jar.coordinate.split(":")[1] in CODECS]
    return fetch_jars([jar for jar in read_lock() if jar.coordinate == CONNECTOR] + codecs)


def jar_path(coordinate: str) -> Path:
    """The jar of that coordinate alone, fetched if need be."""
    return fetch_jars([jar for jar in read_lock() if jar.coordinate == coordinate])[0]


def fetch_jars(jars: list[Jar] | None = None) -> list[Path]:
    """Fetch the missing ones of these jars (by default all) into the cache, verified. Return the paths of all."""
    jars = read_lock() if jars is None else jars
    missing = [jar for jar in jars if not is_verified(jar)]
    if missing and settings().offline:
        raise offline_error([jar.filename for jar in missing], settings().cache, jar_directory(), "make setup")
    if missing:
        _download_all(missing)
    return [jar_directory() / jar.filename for jar in jars]


def is_verified(jar: Jar, recheck: bool = False) -> bool:
    """Return whether the jar is in the cache. Raises SetupError if its content is wrong.

    The content is read only if the file has changed since it was last verified, or with `recheck`.
    """
    path = jar_directory() / jar.filename
    try:
        stat = path.stat()
    except FileNotFoundError:
        return False
    stamp: FileStamp = [stat.st_size, stat.st_mtime_ns, jar.sha256]
    stamps = _read_stamps()
    if stamps.get(jar.filename) == stamp and not recheck:
        return True
    _verify(path, jar)
    _write_stamps(stamps | {jar.filename: stamp})
    return True


def _read_stamps() -> dict[str, FileStamp]:
    try:
        stamps: dict[str, FileStamp] = json.loads((jar_directory() / "verified.json").read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return stamps


def _write_stamps(stamps: dict[str, FileStamp]) -> None:
    # If two processes write at once, one entry is lost and its file is read once more.
    with tempfile.NamedTemporaryFile("w", dir=jar_directory(), prefix=".verified-", delete=False) as file:
        json.dump(stamps, file)
    Path(file.name).replace(jar_directory() / "verified.json")


def _verify(path: Path, jar: Jar) -> None:
    actual = _sha256(path)
    if actual == jar.sha256:
        return
    path.unlink()
    raise SetupError(
        f"{path} is not the file that jars.lock names: its sha256 is {actual}, not {jar.sha256}. It was deleted.",
        "Run `make setup` to fetch it again. If it is wrong again, something between this machine and Maven Central "
        "changes downloads: try another network.",
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download_all(jars: list[Jar]) -> None:
    try:
        jar_directory().mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(dir=jar_directory(), prefix=".partial-")
    except OSError as error:
        raise unwritable_error("jars", jar_directory(), error) from error
    console = Console(stderr=True)
    console.print(
        f"Fetching {len(jars)} jars from Maven Central into {jar_directory()}", highlight=False, soft_wrap=True
    )
    columns = (TextColumn("Jars"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[mib]:.1f} MiB"))
    with (
        temporary as folder,
        Progress(*columns, console=console) as progress,
        ThreadPoolExecutor(MAX_PARALLEL_DOWNLOADS) as pool,
    ):
        bar = progress.add_task("", total=len(jars), mib=0.0)
        received_bytes = 0

        def add_received(size: int) -> None:
            nonlocal received_bytes
            received_bytes += size
            progress.update(bar, mib=received_bytes / MiB)

        try:
            for download in as_completed([pool.submit(_download, jar, Path(folder), add_received) for jar in jars]):
                download.result()
                progress.advance(bar)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _download(jar: Jar, folder: Path, add_received: Callable[[int], None]) -> None:
    """Download a jar into the folder, verify it and move it into the cache, where readers see only whole files."""

    @contextmanager
    def progress(_filename: str, _size: int) -> Iterator[Callable[[int], None]]:
        yield add_received

    context = MavenContext(PythonResolver(progress_callback=progress), repo_cache=folder, timeout=TIMEOUT_SECONDS)
    group, name, version = jar.coordinate.split(":")
    artifact = context.project(group, name).at_version(version).artifact()
    for attempt in range(MAX_ATTEMPTS):
        try:
            if artifact.cached_path:
                artifact.cached_path.unlink(missing_ok=True)  # the rest of an aborted download
            path = artifact.resolve()
            break
        except (OSError, RuntimeError) as error:  # jgo raises the errors of requests (OSError), RuntimeError for HTTP
            if isinstance(error, OSError) and error.errno in LOCAL_ERRNOS:
                raise unwritable_error("jars", jar_directory(), error) from error
            if attempt == MAX_ATTEMPTS - 1:
                raise SetupError(
                    f"{jar.coordinate} cannot be fetched from Maven Central: {error}",
                    "Check the network and its proxy settings (HTTPS_PROXY), then run the same command again: it keeps "
                    "the jars that were fetched. Without a network, copy another machine's HINDSIGHT_CACHE directory "
                    f"(here {settings().cache}).",
                ) from error
            time.sleep(2**attempt)
    _verify(path, jar)
    path.replace(jar_directory() / jar.filename)


def write_lock() -> None:
    """Resolve Kafka's runtime class path and write `jars.lock`."""
    with tempfile.TemporaryDirectory() as folder:
        context = MavenContext(repo_cache=Path(folder))
        direct, transitive = context.resolver.resolve([context.create_dependency(coordinate) for coordinate in KAFKA])
        coordinates = [f"{dep.groupId}:{dep.artifactId}:{dep.version}" for dep in [*direct, *transitive]]
        lines = ["# Written by `python -m app.system.jars lock`. Maven coordinate, sha256 of the jar."]
        for coordinate in [*coordinates, METRICS, CONNECTOR]:
            group, name, version = coordinate.split(":")
            path = context.project(group, name).at_version(version).artifact().resolve()
            lines.append(f"{coordinate} {_sha256(path)}")
            print(coordinate)
    LOCK.write_text("\n".join(lines) + "\n")


def main(arguments: list[str]) -> int:
    """Fetch the jars, or write the lock. Return the exit code."""
    try:
        write_lock() if arguments == ["lock"] else fetch_jars()
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
