"""The answered share of the audit: what counts, how much is missing, and which stretch of time is covered."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.events.types import OutcomeRecorded
from app.outcomes.audit import AnsweredShare, answered_share, answered_stretch, audited_rows, is_answered
from tests.support.catalog_fixtures import outcome_event

BOUND = 0.8


@pytest.mark.parametrize(
    ("fields", "answered"),
    [
        ({"score": 1.0, "audit_answered": True}, True),
        ({"score": 1.0, "audit_answered": False}, False),
        ({"score": 1.0, "audit_answered": None}, True),  # recorded by an older release
        ({"accepted": False, "audit_answered": True}, True),
        ({"accepted": False, "audit_answered": False}, False),
        ({"reward": 0.5, "audit_answered": False}, True),
        ({"audit_answered": False}, False),
        ({"score": 1.0, "selection": "all", "selection_probability": 1.0}, True),
    ],
    ids=str,
)
def test_a_label_counts_if_the_audit_asked_for_it_and_a_reward_always(fields: dict[str, Any], answered: bool) -> None:
    assert is_answered(outcome_event(1, **fields)) == answered


def outcomes(*answers: bool | None) -> list[OutcomeRecorded]:
    return [outcome_event(number, audit_answered=answer, score=1.0) for number, answer in enumerate(answers)]


def test_volunteers_are_neither_selected_nor_answered() -> None:
    volunteer = outcome_event(9, "volunteer", score=0.0)
    assert answered_share([*outcomes(True, False, True), volunteer]) == AnsweredShare(2, 3)


@pytest.mark.parametrize(
    ("answered", "selected", "missing"), [(8, 10, 0), (7, 10, 1), (0, 10, 8), (0, 0, 0), (4, 6, 1)]
)
def test_the_missing_reviews_are_those_up_to_the_bound(answered: int, selected: int, missing: int) -> None:
    share = AnsweredShare(answered, selected)
    assert share.missing(BOUND) == missing
    assert (share.refusal(BOUND) is None) == (missing == 0)
    assert AnsweredShare(answered + missing, selected).refusal(BOUND) is None


def test_the_refusal_is_a_sentence_with_the_missing_reviews() -> None:
    assert AnsweredShare(7, 10).refusal(BOUND) == (
        "7 of 10 audited predictions are answered (70%): 80% is needed, 1 more reviews of the audit."
    )


@given(st.lists(st.booleans(), max_size=25), st.sampled_from([0.5, 0.8, 1.0]))
def test_no_stretch_with_enough_answers_has_more_of_them(answers: list[bool], bound: float) -> None:
    flags = np.array(answers, int)
    best = max(
        (
            int(flags[start:end].sum())
            for end in range(len(flags) + 1)
            for start in range(end + 1)
            if flags[start:end].sum() >= bound * (end - start) - 1e-9
        ),
        default=0,
    )
    stretch = flags[answered_stretch(answers, bound)]
    assert stretch.sum() == best
    assert stretch.sum() >= bound * len(stretch) - 1e-9


def test_what_is_older_or_newer_than_the_reviews_is_left_out() -> None:
    answers = [False] * 50 + [True] * 40 + [False] * 60
    assert answered_stretch(answers, 1.0) == slice(50, 90)
    covered = answered_stretch(answers, BOUND)
    assert (covered.stop - covered.start, sum(answers[covered])) == (50, 40)


def test_a_label_without_a_selection_is_neither_counted_nor_missing() -> None:
    asked = {"selection": "all", "selection_probability": 1.0, "audit_answered": None, "label": "text"}
    unanswered = {"selection": None, "selection_probability": None, "audit_answered": None, "label": None}
    imported = {**unanswered, "label": "text"}
    audited = audited_rows([imported, asked, imported, unanswered, asked, asked, asked], BOUND)
    assert audited.counted == {1, 4, 5, 6}
    assert (audited.share.answered, audited.share.selected) == (4, 5)
