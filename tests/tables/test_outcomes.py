from app.settings import Settings
from app.streams.faust_app import make_app
from tables.outcomes import LastOutcomes


def make_table(max_predictions: int) -> LastOutcomes:
    return LastOutcomes(make_app(Settings(), "test"), max_predictions)


async def test_the_table_returns_the_last_id_of_a_prediction() -> None:
    last_outcomes = make_table(3)
    assert last_outcomes.get(b"1") is None
    last_outcomes[b"1"] = b"a"
    last_outcomes[b"1"] = b"b"
    assert last_outcomes.get(b"1") == b"b"


async def test_the_oldest_entry_is_removed_at_the_limit() -> None:
    last_outcomes = make_table(3)
    for number in (b"1", b"2", b"3", b"1", b"4"):
        last_outcomes[number] = b"a"
    assert list(last_outcomes) == [b"2", b"3", b"4"]


async def test_the_table_has_no_changelog_to_recover_from() -> None:
    app = make_app(Settings(), "test")
    LastOutcomes(app)
    assert not app.tables
