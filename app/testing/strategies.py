"""Strategies of the property tests of a task. Only this module imports hypothesis."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from app.errors import SetupError

try:
    from hypothesis import given, settings
    from hypothesis import strategies as st
except ImportError as error:
    raise SetupError("The property tests of a task need hypothesis.", "Run: pip install hypothesis") from error

Example = TypeVar("Example")

_SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
_JSON = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=8
)


def for_all(strategy: st.SearchStrategy[Example], max_examples: int, check: Callable[[Example], object]) -> None:
    """Call `check` with examples of the strategy, and report the smallest one that fails."""

    # The same examples in each run: a test that passes does not fail later without a change.
    @settings(max_examples=max_examples, deadline=None, database=None, report_multiple_bugs=False, derandomize=True)
    @given(strategy)
    def run(example: Example) -> None:
        check(example)

    run()


@st.composite
def damaged_payloads(draw: st.DrawFn, payloads: Sequence[bytes]) -> bytes:
    """Draw arbitrary bytes, or a payload with a part that is cut out, overwritten, or repeated."""
    if not payloads or draw(st.booleans()):
        return draw(st.binary())
    payload = draw(st.sampled_from(payloads))
    start, end = sorted(draw(st.integers(0, len(payload))) for _ in range(2))
    return payload[:start] + draw(st.binary(max_size=16) | st.just(2 * payload[start:end])) + payload[end:]


@st.composite
def damaged_corrections(draw: st.DrawFn, corrections: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Draw an arbitrary JSON object, or a correction with a field that is removed, replaced, or added."""
    if not corrections or draw(st.booleans()):
        return draw(st.dictionaries(st.text(), _JSON, max_size=4))
    correction = dict(draw(st.sampled_from(corrections)))
    field = draw(st.sampled_from(sorted(correction)) | st.text())
    correction.pop(field, None)
    return correction if draw(st.booleans()) else correction | {field: draw(_JSON)}
