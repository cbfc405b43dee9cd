import io
from pathlib import Path

import pytest
from rich.console import Console

from app.embedded import console
from app.embedded.console import ConsolePrinter, ProcessLog


def make_log(path: Path, verbose: bool = False) -> tuple[ProcessLog, io.StringIO]:
    output = io.StringIO()
    return ProcessLog(path, ConsolePrinter("worker", 1, Console(file=output, width=200), verbose)), output


def test_all_output_goes_to_the_file_and_warnings_to_the_console(tmp_path: Path) -> None:
    log, output = make_log(tmp_path / "logs" / "worker.log")
    log.write(b"INFO all is well\n2026 WARN")
    log.write(b"ING the disk [is] slow\nlast words")
    log.flush()
    log.close()
    assert (tmp_path / "logs" / "worker.log").read_text() == (
        "INFO all is well\n2026 WARNING the disk [is] slow\nlast words"
    )
    assert output.getvalue() == "    worker | 2026 WARNING the disk [is] slow\n"
    assert list(log.tail) == ["INFO all is well", "2026 WARNING the disk [is] slow", "last words"]


def test_a_flood_of_warnings_is_counted_not_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, output = make_log(tmp_path / "worker.log")
    log.write(b"ERROR the broker is away\n" * 1000)
    monkeypatch.setattr(console, "WINDOW_SECONDS", 0.0)
    log.write(b"ERROR something else\n")
    log.close()
    lines = output.getvalue().splitlines()
    assert len(lines) == console.MAX_LINES_PER_WINDOW + 2
    assert lines[-2].startswith("    worker | 995 more warnings")
    assert lines[-1] == "    worker | ERROR something else"


def test_a_verbose_printer_prints_all_output(tmp_path: Path) -> None:
    log, output = make_log(tmp_path / "worker.log", verbose=True)
    log.write(b"\x1b[31mred\x1b[0m and INFO\n")
    log.close()
    assert output.getvalue() == "    worker | red and INFO\n"


def test_a_log_is_rotated_at_its_maximum_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "MAX_LOG_BYTES", 10)
    log, _ = make_log(tmp_path / "worker.log")
    for line in (b"first line\n", b"second line\n", b"third line\n"):
        log.write(line)
    log.close()
    assert (tmp_path / "worker.log").read_bytes() == b"third line\n"
    assert (tmp_path / "worker.log.1").read_bytes() == b"second line\n"


def test_a_full_disk_is_reported_once_and_the_output_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: ProcessLog, __: bytes) -> None:
        raise OSError(28, "No space left on device")

    log, output = make_log(tmp_path / "worker.log")
    monkeypatch.setattr(ProcessLog, "_to_file", full)
    log.write(b"one\n")
    log.write(b"two\n")
    log.close()
    assert output.getvalue().count("No space left on device") == 1
    assert list(log.tail) == ["one", "two"]
