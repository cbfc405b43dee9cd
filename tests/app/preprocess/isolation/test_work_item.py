from hypothesis import given
from hypothesis import strategies as st

from app.events.cloudevents import Origin, TopicId
from app.preprocess.isolation.work_item import WorkItem

HEADERS = st.lists(st.tuples(st.text(), st.binary())).map(tuple)
OFFSETS = st.integers(min_value=0, max_value=2**63 - 1)


@given(OFFSETS, st.none() | st.binary(), st.none() | st.binary(), HEADERS)
def test_a_record_survives_its_way_between_operators(
    offset: int, key: bytes | None, value: bytes | None, headers: tuple[tuple[str, bytes], ...]
) -> None:
    item = WorkItem(Origin(TopicId("c/t"), "ocr.requests", 3, offset, -1), key, value, headers)
    assert WorkItem.from_bytes(item.to_bytes()) == item
