import re
from pathlib import Path

import pytest

import app.pages

COMPONENTS = sorted((Path(app.pages.__file__).parent / "components").glob("*.js"))


@pytest.mark.parametrize("path", COMPONENTS, ids=lambda path: path.name)
def test_a_component_declares_its_events(path: Path) -> None:
    """An event that is not declared also reaches the server from the component's own elements, with other values."""
    source = path.read_text()
    declared = re.search(r"^  emits: \[(.*)\]", source, re.MULTILINE)
    emitted = set(re.findall(r'\$emit\("(\w+)"', source))
    assert emitted == set(re.findall(r'"(\w+)"', declared[1] if declared else ""))
