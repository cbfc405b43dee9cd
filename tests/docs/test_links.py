"""The documentation's links: what they name is in the repository. `make docs` checks the site's besides."""

import re
from pathlib import Path

import pytest

from app.settings import CHECKOUT
from tests.support.documents import ALL, README, prose

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_MAX_README_BYTES = 7_000


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings: lower case, without punctuation, hyphens for spaces."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


def _broken(page: Path, root: Path = CHECKOUT) -> list[str]:
    broken = []
    for link in _LINK.findall(prose(page)):
        if re.match(r"\w+:", link):  # elsewhere
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        here = target.is_relative_to(root) and target.exists()
        if not here or (anchor and anchor not in _anchors(target)):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.name)
def test_a_link_leads_to_a_file_and_a_heading_of_the_repository(page: Path) -> None:
    assert _broken(page) == []


def test_a_link_to_no_file_or_heading_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# Two words\n[a](gone.md) [b](#gone) [c](https://example.com) [d](#two-words) [e](page.md) [f](..)\n"
    )
    assert _broken(page, tmp_path) == ["gone.md", "#gone", ".."]


def test_the_readme_is_short() -> None:
    assert len(README.read_bytes()) <= _MAX_README_BYTES
