"""The metrics and labels in a PromQL expression."""

import re

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_KEYWORDS = {"and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring", "group_left", "group_right"}
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_MATCHERS = re.compile(r"\{([^}]*)\}")
_STRING = re.compile(r"\"[^\"]*\"|'[^']*'")
_RANGE = re.compile(r"\[[^\]]*\]|\boffset\s+\w+")
_VARIABLE = re.compile(r"\$\w+|\$\{[^}]*\}")


def metric_names(expression: str) -> set[str]:
    """Return the names of its metrics."""
    text = _VARIABLE.sub("", _STRING.sub("", expression))
    for ignored in (_MATCHERS, _GROUPING, _RANGE):
        text = ignored.sub(" ", text)
    return {
        match[0]
        for match in _NAME.finditer(text)
        if match[0] not in _KEYWORDS and not re.match(r"\s*\(", text[match.end() :])
    }


def label_names(expression: str) -> set[str]:
    """Return the labels that it selects or groups by."""
    text = _STRING.sub("", expression)
    return {name for labels in _MATCHERS.findall(text) + _GROUPING.findall(text) for name in _NAME.findall(labels)}
