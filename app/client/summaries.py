"""Outputs in one line, for people."""

import json
from collections.abc import Mapping
from typing import Any


def summarize_output(output: Mapping[str, Any]) -> str:
    """Return the text, of several lines the first with their number; the action, the labels of boxes, or JSON."""
    match output:
        case {"text": str(text)} | {"action": str(text)}:
            return first_line(text)
        case {"lines": [*lines]}:
            return first_line("\n".join(str(line.get("text")) for line in lines))
        case {"boxes": [*boxes]}:
            return ", ".join(sorted(str(box.get("label")) for box in boxes))
        case _:
            return json.dumps(output, ensure_ascii=False)


def first_line(text: str) -> str:
    """Return a text of one line as it is, or the first of several lines with their number."""
    lines = [line for line in text.splitlines() if line.strip()]
    return text.strip("\r\n") if len(lines) < 2 else f"{lines[0]} … ({len(lines):,} lines)"
