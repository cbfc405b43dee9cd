"""The progress of a download."""

from collections.abc import Callable

OnBytes = Callable[[int, int | None], None]
"""A callback: the bytes received so far, and of how many, if that is known."""
