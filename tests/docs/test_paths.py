"""The files that the documentation names are there, and a journey is short."""

import re
from itertools import chain
from pathlib import Path

import pytest

from app.settings import CHECKOUT
from tests.support.documents import CONTRIBUTING, MANUAL, README

PAGES = [README, CONTRIBUTING, CHECKOUT / "SECURITY.md", *MANUAL]
_FILE = re.compile(r"`((?:app|agents|models|tables|migrations|benchmarks|docker|docs|tests)/[\w./-]*)`")
_MADE_BY_A_READER = re.compile("models/mood|models/<task>|versions/2|benchmarks/results")
_MODULE = re.compile(r"\bpython -m ([\w.]+)|\b(?:from|import) (app[\w.]*)")
JOURNEYS = {"1": 8, "2": 10, "3": 10, "4": 6}
"""The most files that a journey of `docs/architecture.md` may take."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_file_that_the_documentation_names_exists(page: Path) -> None:
    named = [path for path in _FILE.findall(page.read_text()) if not _MADE_BY_A_READER.search(path)]
    assert [path for path in named if not (CHECKOUT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_module_that_the_documentation_names_exists(page: Path) -> None:
    names = [name for name in chain(*_MODULE.findall(page.read_text())) if name and "mood" not in name]
    paths = [CHECKOUT / name.replace(".", "/") for name in names]
    assert [path for path in paths if not (path.with_suffix(".py").exists() or path.is_dir())] == []


@pytest.mark.parametrize(("number", "most"), JOURNEYS.items())
def test_a_journey_through_the_code_is_short(number: str, most: int) -> None:
    text = (CHECKOUT / "docs" / "architecture.md").read_text()
    section = text.partition(f"\n## Journey {number}:")[2].partition("\n## ")[0]
    steps = re.findall(r"^\d+\. `([\w/]+\.py)`", section, re.MULTILINE)
    assert 0 < len(steps) <= most
    assert len(set(steps)) == len(steps)
