"""Reading a dataset: what of its rows can be learnt from."""

from pathlib import Path

import numpy as np

from models.decision.training.log_reader import grouped, read, total
from tests.models.decision.logs import episodes, rows, task, write


def test_rows_come_back_as_decisions(tmp_path: Path) -> None:
    made = rows(task(tmp_path), 20, 0)
    found = list(read(write(made, tmp_path / "dataset")))
    assert [one.reward for one in found] == [row["reward"] for row in made]
    assert [one.propensity for one in found] == [row["propensity"] for row in made]
    assert [one.split for one in found] == [row["split"] for row in made]
    assert all("abc"[one.chosen] in row["output"] for one, row in zip(found, made, strict=True))


def test_what_says_nothing_is_left_out(tmp_path: Path) -> None:
    silent, featureless, foreign, strange, labelled = rows(task(tmp_path), 5, 0)
    silent["reward"] = None
    featureless["features"] = None
    foreign["output"] = '{"action": "z"}'
    strange |= {"reward": None, "label": '{"action": "z"}'}
    labelled |= {"reward": None, "label": '{"action": "c"}'}
    [found] = read(write([silent, featureless, foreign, strange, labelled], tmp_path / "dataset"))
    assert (found.reward, found.label) == (None, 2)


def test_a_step_is_there_even_without_a_reward_for_others_follow_from_it(tmp_path: Path) -> None:
    made = [{**row, "reward": None} for row in episodes(task(tmp_path), 5, 0)]
    found = list(read(write(made, tmp_path / "dataset")))
    assert [f"decision:{one.step.episode[5:]}-{one.step.number}" for one in found if one.step] == [
        row["prediction_id"] for row in made
    ]
    assert {one.source for one in found} == {"shop"}


def test_decisions_of_like_padding_are_together(tmp_path: Path) -> None:
    decisions = list(read(write(rows(task(tmp_path), 20, 0), tmp_path / "dataset")))
    [group] = grouped(decisions)
    assert total([group]) == len(group) == 20
    assert group.actions.shape == (20, 4, 3)
    assert (group.count == 3).all()
    assert not group.actions[:, 3].any()
    some = group.take(np.array([3, 5]))
    assert some.reward.tolist() == [decisions[3].reward, decisions[5].reward]
    assert some.place.tolist() == [3, 5]
