"""The time until which a request wants its answer.

A request may name it: `ce_expirytime`, in RFC 3339 (https://github.com/cloudevents/spec/blob/main/cloudevents/extensions/expirytime.md).
A task may bound the wait of all its requests: under overload the others are then answered in time.
"""

from collections.abc import Mapping
from datetime import datetime

from models.base import Rejected

EXPIRY_EXTENSION = "expirytime"


def refuse_expired(
    extensions: Mapping[str, str], logged_ms: float, now_ms: float, max_wait_seconds: float | None
) -> Rejected | None:
    """Return the refusal (code `expired`) of a request that was logged at `logged_ms`; None if it may be answered.

    An `expirytime` that can't be read is ignored. Times are in milliseconds since 1970.
    """
    if max_wait_seconds is not None and (waited := (now_ms - logged_ms) / 1000) > max_wait_seconds:
        reason = f"it waited for {waited:.1f} s; requests of this task wait for at most {max_wait_seconds:g} s"
        return Rejected("expired", reason)
    if EXPIRY_EXTENSION not in extensions:
        return None
    try:
        expiry = datetime.fromisoformat(extensions[EXPIRY_EXTENSION])
    except ValueError:
        return None
    if expiry.tzinfo is None or expiry.timestamp() * 1000 >= now_ms:
        return None
    return Rejected("expired", f"its ce_expirytime, {extensions[EXPIRY_EXTENSION]}, had passed")
