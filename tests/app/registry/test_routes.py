import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import SetupError
from app.registry.routes import Route, add_shadow, hash_fraction, promote, roll_back, set_canary

KEYS = st.binary(max_size=40)
SHARES = st.floats(0.001, 0.999)


@given(KEYS, SHARES)
def test_a_key_keeps_its_version_while_the_route_is_unchanged(key: bytes, share: float) -> None:
    route = Route("1", "2", share)
    assert route.assign("ocr", key) == route.assign("ocr", key)


@given(KEYS, SHARES, SHARES)
def test_a_key_keeps_the_canary_while_its_share_grows(key: bytes, one: float, other: float) -> None:
    small, large = sorted([one, other])
    if Route("1", "2", small).assign("ocr", key) == ("2", "canary"):
        assert Route("1", "2", large).assign("ocr", key) == ("2", "canary")


@pytest.mark.parametrize("share", [0.05, 0.25, 0.5])
def test_a_canary_answers_its_share_of_the_keys(share: float) -> None:
    route = Route("1", "2", share)
    served = sum(route.assign("ocr", str(key).encode())[1] == "canary" for key in range(10_000))
    assert abs(served / 10_000 - share) < 4 * (share * (1 - share) / 10_000) ** 0.5


def test_another_canary_has_other_keys() -> None:
    keys = [str(key).encode() for key in range(1000)]
    second, third = ({key for key in keys if hash_fraction("ocr", canary, key) < 0.5} for canary in "23")
    assert 150 < len(second - third) < 350


def test_without_a_canary_the_champion_answers_everything() -> None:
    assert Route("1", shadows=("2",)).assign("ocr", b"any") == ("1", "champion")


def test_a_promotion_removes_the_canary_and_keeps_other_shadows() -> None:
    assert promote(Route("1", "2", 0.5, ("3", "4")), "2") == Route("2", shadows=("3", "4"))
    assert promote(Route("1", "2", 0.5, ("3", "4")), "3") == Route("3", shadows=("4",))


def test_a_canary_replaces_the_previous_one_and_keeps_the_shadows() -> None:
    assert set_canary(Route("1", "2", 0.5, ("3",)), "3", 0.1) == Route("1", "3", 0.1)
    assert set_canary(Route("1", "2", 0.05), "2", 0.25) == Route("1", "2", 0.25)


def test_a_shadow_is_added_to_the_others() -> None:
    assert add_shadow(Route("1", "2", 0.5, ("3",)), "4") == Route("1", "2", 0.5, ("3", "4"))


def test_a_rollback_takes_the_canary_first() -> None:
    assert roll_back(Route("2", "3", 0.5, ("4",)), None, "1") == Route("2", shadows=("4",))


def test_a_rollback_of_the_champion_restores_the_previous_one() -> None:
    assert roll_back(Route("2", shadows=("4", "1")), None, "1") == Route("1", shadows=("4",))
    assert roll_back(Route("2", "3", 0.5), "2", "1") == Route("1")


def test_a_rollback_of_a_shadow_removes_it() -> None:
    assert roll_back(Route("2", "3", 0.5, ("4", "5")), "4", "1") == Route("2", "3", 0.5, ("5",))


def test_impossible_route_changes_are_refused_with_a_remedy() -> None:
    route = Route("1", "2", 0.5, ("3",))
    with pytest.raises(SetupError, match="is the champion already"):
        promote(route, "1")
    with pytest.raises(SetupError, match="is the champion"):
        set_canary(route, "1", 0.5)
    with pytest.raises(SetupError, match="above 0 and below 1, not 1"):
        set_canary(route, "2", 1.0)
    with pytest.raises(SetupError, match="is the canary already"):
        add_shadow(route, "2")
    with pytest.raises(SetupError, match="does not serve") as refused:
        roll_back(route, "7", None)
    assert refused.value.remedy == "Name one of 1, 2, 3."
    with pytest.raises(SetupError, match="no champion before 1"):
        roll_back(route, "1", None)
