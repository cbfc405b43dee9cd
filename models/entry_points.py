"""Names of functions and classes that are imported only when they are needed."""

from importlib import import_module
from typing import Any


def load(path: str) -> Any:
    """Return the attribute that `module:name` names. Raises `ImportError` or `AttributeError` where there is none."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
