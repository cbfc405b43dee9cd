"""Which metrics and labels a PromQL expression names."""

import re

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_KEYWORDS = {"and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring", "group_left", "group_right"}
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_MATCHERS = re.compile(r"\{([^}]*)\}")
_STRING = re.compile(r"\"[^\"]*\"|'[^']*'")
_RANGE = re.compile(r"\[[^\]]*\]|\boffset\s+\w+")
_VARIABLE = re.compile(r"\$\w+|\$\{[^}]*\}")


def metric_names(expression: str) -> set[str]:
    """The names of its series."""
    text = _VARIABLE.sub("", _STRING.sub("", expression))
    for ignored in (_MATCHERS, _GROUPING, _RANGE):
        text = ignored.sub(" ", text)
    return {
        found[0]
        for found in _NAME.finditer(text)
        if found[0] not in _KEYWORDS and not re.match(r"\s*\(", text[found.end() :])
    }


def label_names(expression: str) -> set[str]:
    """The labels that it selects or groups by."""
    text = _STRING.sub("", expression)
    return {name for part in _MATCHERS.findall(text) + _GROUPING.findall(text) for name in _NAME.findall(part)}
