from app.settings import Settings
from app.streams.faust_app import make_app
from tables.outcomes import LastOutcomes


def table(most: int) -> LastOutcomes:
    return LastOutcomes(make_app(Settings(), "test"), most)


async def test_what_was_noted_is_known_and_replaced() -> None:
    last = table(3)
    assert last.get(b"1") is None
    last[b"1"] = b"a"
    last[b"1"] = b"b"
    assert last.get(b"1") == b"b"


async def test_the_oldest_goes_when_there_is_no_room() -> None:
    last = table(3)
    for number in (b"1", b"2", b"3", b"1", b"4"):
        last[number] = b"a"
    assert list(last) == [b"2", b"3", b"4"]


async def test_it_has_no_changelog_to_recover_from() -> None:
    app = make_app(Settings(), "test")
    LastOutcomes(app)
    assert not app.tables
