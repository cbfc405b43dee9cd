from typing import Any

import pytest

from app.client import summarize_output


@pytest.mark.parametrize(
    ("output", "summary"),
    [
        ({"text": "128"}, "128"),
        ({"text": ""}, ""),
        ({"text": "\nA receipt\n\nof two lines\n", "lines": []}, "A receipt … (2 lines)"),
        ({"lines": [{"line": 3, "text": "a line"}]}, "a line"),
        ({"action": "a", "probabilities": {"a": 1.0}}, "a"),
        ({"boxes": [{"label": "cup"}, {"label": "ant"}]}, "ant, cup"),
        ({"sum": 3.0}, '{"sum": 3.0}'),
    ],
)
def test_an_output_is_summarized_in_a_line(output: dict[str, Any], summary: str) -> None:
    assert summarize_output(output) == summary
