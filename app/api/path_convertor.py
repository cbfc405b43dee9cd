"""Path parameters that end at a slash or a colon, so that `:cancel` after a name selects another route."""

from starlette.convertors import StringConvertor, register_url_convertor


class PartConvertor(StringConvertor):
    """The convertor of `{name:part}` in a route's path."""

    regex = "[^/:]+"


def register() -> None:
    """Register it with Starlette; call this before a route uses it."""
    register_url_convertor("part", PartConvertor())
