"""A part of a path, up to the next slash or colon: `:cancel` behind a name is another route, not more of the name."""

from starlette.convertors import StringConvertor, register_url_convertor


class PartConvertor(StringConvertor):
    """`{name:part}` in a route's path."""

    regex = "[^/:]+"


def register() -> None:
    """Make it known to Starlette, before a route uses it."""
    register_url_convertor("part", PartConvertor())
