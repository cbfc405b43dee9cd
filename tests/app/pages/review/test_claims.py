from pathlib import Path

import pytest

from app.pages.review import claims
from app.pages.review.claims import Claims
from app.settings import Settings


@pytest.fixture
def found(tmp_path: Path) -> Claims:
    return Claims(Settings(home=tmp_path).catalog_url)


def test_what_one_has_taken_another_is_not_given(found: Claims) -> None:
    assert found.acquire(["a", "b", "c"], "ada", 2) == ["a", "b"]
    assert found.acquire(["a", "b", "c"], "grace", 2) == ["c"]


def test_what_is_ones_own_is_taken_again(found: Claims) -> None:
    assert found.acquire(["a"], "ada") == found.acquire(["a"], "ada") == ["a"]


def test_what_is_given_back_others_may_have(found: Claims) -> None:
    found.acquire(["a"], "ada")
    found.release(["a"], "grace")
    assert found.acquire(["a"], "grace") == []
    found.release(["a"], "ada")
    assert found.acquire(["a"], "grace") == ["a"]


def test_what_was_judged_is_shown_to_nobody_else(found: Claims, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "CLAIM_SECONDS", 0.0)
    found.acquire(["a", "b"], "ada", 2)
    found.mark_reviewed("a", "ada")
    assert found.acquire(["a", "b"], "grace", 2) == ["b"]


def test_who_has_gone_away_loses_the_claim_and_who_is_there_keeps_it(
    found: Claims, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "CLAIM_SECONDS", 0.0)
    found.acquire(["a"], "ada")
    assert found.acquire(["a"], "grace") == ["a"]
    monkeypatch.undo()
    found.renew("grace")
    assert found.acquire(["a"], "ada") == []
