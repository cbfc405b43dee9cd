"""Output of the supervisor and of its processes: complete in log files, warnings and errors on the console."""

import re
import time
from collections import deque
from io import RawIOBase
from pathlib import Path

from rich.console import Console
from rich.text import Text

from app.settings import MiB

COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "bright_cyan", "bright_magenta")
IMPORTANT_LINE = re.compile(rb"\b(WARN|WARNING|ERROR|CRITICAL|FATAL)\b|^Traceback|^error: ")
ANSI_CODE = re.compile(rb"\x1b\[[0-9;]*m")
MAX_LOG_BYTES = 16 * MiB
TAIL_LINES = 15
MAX_LINES_PER_WINDOW = 5
WINDOW_SECONDS = 10.0


class ConsolePrinter:
    """Printer of the lines of one process, or of the supervisor, with a coloured name in front."""

    def __init__(self, name: str, index: int, console: Console, verbose: bool = False) -> None:
        self.verbose = verbose
        self._console = console
        self._prefix = Text(f"{name:>10} | ", style=COLOURS[index % len(COLOURS)])

    def print_lines(self, text: str, style: str = "") -> None:
        """Print each line of a text after the name."""
        for line in text.splitlines():
            self._console.print(self._prefix + Text(line, style=style), soft_wrap=True)


class ProcessLog:
    """Output of one process: all of it in a file of bounded size, warnings and errors also on the console."""

    def __init__(self, path: Path, printer: ConsolePrinter) -> None:
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._path = path
        self._printer = printer
        self._partial_line = b""
        self._window_start, self._printed_count, self._suppressed_count = 0.0, 0, 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: RawIOBase = path.open("ab", buffering=0)
        self._write_failed = False

    def write(self, chunk: bytes) -> None:
        """Take a piece of output of any size."""
        try:
            self._to_file(chunk)
        except OSError as error:  # a full disk must not block the process that writes
            if not self._write_failed:
                self._printer.print_lines(f"the log {self._path} cannot be written: {error.strerror}", "yellow")
            self._write_failed = True
        *lines, self._partial_line = (self._partial_line + chunk).split(b"\n")
        for line in lines:
            self._handle_line(line)

    def flush(self) -> None:
        """Handle a last line without a line end, once the process has ended."""
        if self._partial_line:
            self._handle_line(self._partial_line)
        self._partial_line = b""

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _to_file(self, chunk: bytes) -> None:
        if self._file.tell() > MAX_LOG_BYTES:
            self._file.close()
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))
            self._file = self._path.open("ab", buffering=0)
        self._file.write(chunk)

    def _handle_line(self, line: bytes) -> None:
        text = ANSI_CODE.sub(b"", line).decode(errors="replace").rstrip()
        if text:
            self.tail.append(text)
        if self._printer.verbose:
            self._printer.print_lines(text)
        elif IMPORTANT_LINE.search(line):
            self._print_limited(text)

    def _print_limited(self, text: str) -> None:
        """Print a line, unless the window is full: clients repeat a thousand times that the broker is away."""
        now = time.monotonic()
        if now - self._window_start > WINDOW_SECONDS:
            if self._suppressed_count:
                self._printer.print_lines(f"{self._suppressed_count} more warnings are in {self._path}")
            self._window_start, self._printed_count, self._suppressed_count = now, 0, 0
        if self._printed_count < MAX_LINES_PER_WINDOW:
            self._printer.print_lines(text)
            self._printed_count += 1
        else:
            self._suppressed_count += 1
