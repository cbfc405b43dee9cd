from pathlib import Path

import pytest

from app.pages.review import claims as module
from app.pages.review.claims import Claims
from app.settings import Settings


@pytest.fixture
def claims(tmp_path: Path) -> Claims:
    return Claims(Settings(home=tmp_path).catalog_url)


def test_a_claimed_prediction_is_not_given_to_others(claims: Claims) -> None:
    assert claims.acquire(["a", "b", "c"], "ada", 2) == ["a", "b"]
    assert claims.acquire(["a", "b", "c"], "grace", 2) == ["c"]


def test_a_holder_can_claim_its_own_prediction_again(claims: Claims) -> None:
    assert claims.acquire(["a"], "ada") == claims.acquire(["a"], "ada") == ["a"]


def test_only_the_holder_can_release_a_prediction_for_others(claims: Claims) -> None:
    claims.acquire(["a"], "ada")
    claims.release(["a"], "grace")
    assert claims.acquire(["a"], "grace") == []
    claims.release(["a"], "ada")
    assert claims.acquire(["a"], "grace") == ["a"]


def test_a_reviewed_prediction_is_not_given_to_others(claims: Claims, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLAIM_SECONDS", 0.0)
    claims.acquire(["a", "b"], "ada", 2)
    claims.mark_reviewed("a", "ada")
    assert claims.acquire(["a", "b"], "grace", 2) == ["b"]


def test_a_claim_expires_unless_it_is_renewed(claims: Claims, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLAIM_SECONDS", 0.0)
    claims.acquire(["a"], "ada")
    assert claims.acquire(["a"], "grace") == ["a"]
    monkeypatch.undo()
    claims.renew("grace")
    assert claims.acquire(["a"], "ada") == []
