from typing import Any, ClassVar

import pytest

from app.events.base import EventData
from models.base import Rejected


class Weighed(EventData):
    """A type in its third version; version 1 had `fruit` and `kg`, version 2 `name` and `kg`."""

    type: ClassVar[str] = "hindsight.fruit.weighed.v3"
    name: str
    grams: float
    ripe: bool = True

    @staticmethod
    def upcast_v1_v2(payload: dict[str, Any]) -> dict[str, Any]:
        return {"name": payload.pop("fruit")} | payload

    @staticmethod
    def upcast_v2_v3(payload: dict[str, Any]) -> dict[str, Any]:
        return {"grams": payload.pop("kg") * 1000} | payload


def rejection(data: bytes, version: int) -> tuple[str, str]:
    with pytest.raises(Rejected) as caught:
        Weighed.decode(data, version)
    return caught.value.code, str(caught.value)


@pytest.mark.parametrize(
    ("version", "data"),
    [
        (1, b'{"fruit": "pear", "kg": 0.25, "ripe": false}'),
        (2, b'{"name": "pear", "kg": 0.25, "ripe": false}'),
        (3, b'{"name": "pear", "grams": 250, "ripe": false}'),
    ],
)
def test_data_of_every_version_decodes_to_the_current_one(version: int, data: bytes) -> None:
    assert Weighed.decode(data, version) == Weighed(name="pear", grams=250, ripe=False)


def test_a_newer_version_is_rejected_with_the_remedy() -> None:
    reason = "hindsight.fruit.weighed.v4 is newer than this Hindsight, which reads v3: upgrade Hindsight"
    assert rejection(b"{}", 4) == ("newer_version", reason)


@pytest.mark.parametrize(
    ("version", "data", "reason"),
    [
        (3, b'{"name": "pear", "grams": "250"}', "v3 is wrong: grams: Input should be a valid number"),
        (3, b'{"name": "pear", "grams": true}', "v3 is wrong: grams: Input should be a valid number"),
        (3, b'{"name": "pear", "grams": NaN}', "v3 is wrong: grams: Input should be a finite number"),
        (3, b'{"name": "pear", "grams": 250, "ripe": "yes"}', "v3 is wrong: ripe: Input should be a valid boolean"),
        (3, b'{"name": "pear", "grams": 250, "ripe": 1}', "v3 is wrong: ripe: Input should be a valid boolean"),
        (3, b'{"name": 7, "grams": 250}', "v3 is wrong: name: Input should be a valid string"),
        (3, b'{"name": "pear"}', "v3 is wrong: grams: Field required"),
        (3, b'{"name": "pear", "grams": 250, "kg": 0.25}', "v3 is wrong: kg: Extra inputs are not permitted"),
        (3, b"\xff", "v3 is wrong: Invalid JSON"),
        (3, b"", "v3 is wrong: Invalid JSON"),
        (2, b'{"name": "pear", "kg": 0.25, "colour": "green"}', "v2 is wrong: colour: Extra inputs"),
        (1, b'{"name": "pear", "kg": 0.25}', "v1 can't be read: KeyError: 'fruit'"),
        (1, b"[]", "v1 can't be read: TypeError"),
        (1, b"{", "v1 can't be read: JSONDecodeError"),
        (1, b"[" * 100_000, "v1 can't be read: RecursionError"),
    ],
)
def test_data_invalid_in_its_version_is_rejected_with_the_reason(version: int, data: bytes, reason: str) -> None:
    code, reason_text = rejection(data, version)
    assert code == "bad_data"
    assert f"hindsight.fruit.weighed.{reason}" in reason_text


def test_a_version_without_its_upcaster_is_a_bug_and_not_a_bad_event() -> None:
    class Counted(EventData):
        type: ClassVar[str] = "hindsight.fruit.counted.v2"

    with pytest.raises(AttributeError, match="upcast_v1_v2"):
        Counted.decode(b"{}", 1)
