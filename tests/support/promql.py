"""Which metrics and labels a PromQL expression names."""

import re

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_WORDS = {"and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring", "group_left", "group_right"}
_GROUPED = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_MATCHED = re.compile(r"\{([^}]*)\}")
_TEXT = re.compile(r"\"[^\"]*\"|'[^']*'")
_RANGE = re.compile(r"\[[^\]]*\]|\boffset\s+\w+")
_VARIABLE = re.compile(r"\$\w+|\$\{[^}]*\}")


def metrics(expression: str) -> set[str]:
    """The names of its series."""
    text = _VARIABLE.sub("", _TEXT.sub("", expression))
    for ignored in (_MATCHED, _GROUPED, _RANGE):
        text = ignored.sub(" ", text)
    return {
        found[0]
        for found in _NAME.finditer(text)
        if found[0] not in _WORDS and not re.match(r"\s*\(", text[found.end() :])
    }


def labels(expression: str) -> set[str]:
    """The labels that it selects or groups by."""
    text = _TEXT.sub("", expression)
    return {name for part in _MATCHED.findall(text) + _GROUPED.findall(text) for name in _NAME.findall(part)}
