"""What the supervisor says, and what the processes say: in full to their log files, the rest only if it matters."""

import re
import time
from collections import deque
from io import RawIOBase
from pathlib import Path

from rich.console import Console
from rich.text import Text

from app.settings import MiB

COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "bright_cyan", "bright_magenta")
MATTERS = re.compile(rb"\b(WARN|WARNING|ERROR|CRITICAL|FATAL)\b|^Traceback|^error: ")
ANSI = re.compile(rb"\x1b\[[0-9;]*m")
LARGEST_LOG = 16 * MiB
TAIL = 15
LOUDEST = 5
WINDOW_SECONDS = 10.0


class Voice:
    """Prints the lines of one process, or of the supervisor, after a coloured name."""

    def __init__(self, name: str, index: int, console: Console, verbose: bool = False) -> None:
        self.verbose = verbose
        self._console = console
        self._prefix = Text(f"{name:>10} | ", style=COLOURS[index % len(COLOURS)])

    def say(self, text: str, style: str = "") -> None:
        """Prints text, each line after the name."""
        for line in text.splitlines():
            self._console.print(self._prefix + Text(line, style=style), soft_wrap=True)


class Log:
    """The output of one process: all of it in a file of bounded size, warnings and errors on the console too."""

    def __init__(self, path: Path, voice: Voice) -> None:
        self.tail: deque[str] = deque(maxlen=TAIL)
        self._path = path
        self._voice = voice
        self._rest = b""
        self._since, self._said, self._unsaid = 0.0, 0, 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: RawIOBase = path.open("ab", buffering=0)
        self._lost = False

    def write(self, chunk: bytes) -> None:
        """Takes output as it comes, in pieces of any size."""
        try:
            self._to_file(chunk)
        except OSError as error:  # a full disk must not block the process that is speaking
            if not self._lost:
                self._voice.say(f"its log {self._path} cannot be written: {error.strerror}", "yellow")
            self._lost = True
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._line(line)

    def end(self) -> None:
        """The process has ended: what it said last may lack its line end."""
        if self._rest:
            self._line(self._rest)
        self._rest = b""

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _to_file(self, chunk: bytes) -> None:
        if self._file.tell() > LARGEST_LOG:
            self._file.close()
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))
            self._file = self._path.open("ab", buffering=0)
        self._file.write(chunk)

    def _line(self, line: bytes) -> None:
        text = ANSI.sub(b"", line).decode(errors="replace").rstrip()
        if text:
            self.tail.append(text)
        if self._voice.verbose:
            self._voice.say(text)
        elif MATTERS.search(line):
            self._aloud(text)

    def _aloud(self, text: str) -> None:
        """What matters, but no flood: a broker that is away is said a thousand times in its clients' words."""
        now = time.monotonic()
        if now - self._since > WINDOW_SECONDS:
            if self._unsaid:
                self._voice.say(f"{self._unsaid} more warnings like this are in {self._path}")
            self._since, self._said, self._unsaid = now, 0, 0
        if self._said < LOUDEST:
            self._voice.say(text)
            self._said += 1
        else:
            self._unsaid += 1
