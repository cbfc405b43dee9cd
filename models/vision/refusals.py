"""The reasons for which an image file is refused."""

from models.base import Rejected


def truncated() -> Rejected:
    """Return the refusal of a file that lacks more than its last bytes."""
    return Rejected("truncated", "the image file ends too early: send all of its bytes")


def broken(what: str) -> Rejected:
    """Return the refusal of a damaged file."""
    return Rejected("broken", f"the image file is damaged: {what}")


def too_complex(what: str) -> Rejected:
    """Return the refusal of a file whose parts, not its pixels, would take too long."""
    return Rejected("too_complex", f"reading the image file would take too long: {what}. Save it again")


def no_such_page(page: int, pages: int) -> Rejected:
    """Return the refusal of a page that a file does not have."""
    return Rejected("no_such_page", f"there is no page {page}: the file has {pages:,}, counted from 0")
