"""The files of the documentation, and the snippets in them."""

import re
from dataclasses import dataclass
from pathlib import Path

from app.settings import CHECKOUT

README = CHECKOUT / "README.md"
CONTRIBUTING = CHECKOUT / "CONTRIBUTING.md"
MANUAL = sorted((CHECKOUT / "docs").glob("*.md"))
ALL = [README, CONTRIBUTING, CHECKOUT / "SECURITY.md", CHECKOUT / "CHANGELOG.md", *MANUAL]

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Snippet:
    """A fenced block that a reader may run: `language` is python or sh."""

    page: str
    language: str
    code: str

    @property
    def name(self) -> str:
        """The page and the snippet's last line, for a test's id."""
        return re.sub(r"\W+", "-", f"{self.page} {self.code.strip().splitlines()[-1]}")[:60]


def snippets(page: Path) -> list[Snippet]:
    """Return the snippets of a page in order. Blocks in another language, or without one, cannot be run."""
    return [
        Snippet(page.stem, language, code)
        for language, code in _FENCED.findall(page.read_text())
        if language in ("python", "sh")
    ]


def prose(page: Path) -> str:
    """Return a page's text without its fenced blocks."""
    return _FENCED.sub("", page.read_text())
