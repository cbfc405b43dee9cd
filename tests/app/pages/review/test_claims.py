from pathlib import Path

import pytest

from app.pages.review import claims
from app.pages.review.claims import Claims
from app.settings import Settings


@pytest.fixture
def found(tmp_path: Path) -> Claims:
    return Claims(Settings(home=tmp_path).database)


def test_what_one_has_taken_another_is_not_given(found: Claims) -> None:
    assert found.take(["a", "b", "c"], "ada", 2) == ["a", "b"]
    assert found.take(["a", "b", "c"], "grace", 2) == ["c"]


def test_what_is_ones_own_is_taken_again(found: Claims) -> None:
    assert found.take(["a"], "ada") == found.take(["a"], "ada") == ["a"]


def test_what_is_given_back_others_may_have(found: Claims) -> None:
    found.take(["a"], "ada")
    found.give_back(["a"], "grace")
    assert found.take(["a"], "grace") == []
    found.give_back(["a"], "ada")
    assert found.take(["a"], "grace") == ["a"]


def test_what_was_judged_is_shown_to_nobody_else(found: Claims, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "CLAIM_SECONDS", 0.0)
    found.take(["a", "b"], "ada", 2)
    found.done("a", "ada")
    assert found.take(["a", "b"], "grace", 2) == ["b"]


def test_who_has_gone_away_loses_the_claim_and_who_is_there_keeps_it(
    found: Claims, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "CLAIM_SECONDS", 0.0)
    found.take(["a"], "ada")
    assert found.take(["a"], "grace") == ["a"]
    monkeypatch.undo()
    found.keep("grace")
    assert found.take(["a"], "ada") == []
