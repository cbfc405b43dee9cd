"""Training from logs: it learns, from rewards and from corrections, and the same again."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import typer
from typer.testing import CliRunner

from models.base import Sample, Trained, Untrainable
from models.decision import Decision
from models.decision.train import PLAN, main, train
from models.decision.training.network import Network
from models.nn.onnx_inference import judge, session
from models.training_command import write
from tests.models.decision import logs

QUICK = replace(PLAN, least_steps=150, most_steps=150)
KINDS = [Sample(kind, logs.payload(kind), "application/json", {"action": right}) for kind, right in logs.RIGHT.items()]


def quiet(doing: str, step: int, steps: int | None) -> None:
    pass


def probability_of_right(task: Decision, model: bytes) -> float:
    """Mean over both kinds of visitors."""
    made = judge(session(model), task, KINDS)
    return float(np.mean([one.decoded.output["probabilities"][one.sample.correction["action"]] for one in made]))


@pytest.fixture(scope="module")
def rewarded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Decision, Path, bytes, dict[str, Any]]:
    """A task, a dataset of rewards, and what is trained on it."""
    directory = tmp_path_factory.mktemp("rewarded")
    task = logs.task(directory)
    dataset = logs.write(logs.rows(task, 3_000, 0), directory / "dataset")
    trained = train(task, dataset, None, 3, quiet, QUICK)
    return task, dataset, trained.model, trained.card


RewardedDecisions = tuple[Decision, Path, bytes, dict[str, Any]]


def test_it_learns_from_rewards_what_the_logging_policy_seldom_does(rewarded: RewardedDecisions) -> None:
    task, _, model, _ = rewarded
    assert probability_of_right(task, model) > 0.8


def test_the_expected_reward_is_about_the_true_one(rewarded: RewardedDecisions) -> None:
    greedy = Decision(exploration="epsilon-greedy", epsilon=0, floor=0, schema=str(rewarded[1].parent / "schema.json"))
    for one in judge(session(rewarded[2]), greedy, KINDS):
        assert one.decoded.output["action"] == one.sample.correction["action"]
        assert one.decoded.confidence == pytest.approx(0.8, abs=0.1)


def test_the_card_says_what_the_log_says_of_the_policy(rewarded: RewardedDecisions) -> None:
    card = rewarded[3]
    assert card["decisions"] == {"train": 2_400, "validation": 300}
    assert card["reward range"] == [0.0, 1.0]
    assert card["schema"] == logs.SCHEMA
    assert card["parity_max_abs_diff"] < 1e-4
    logged, robust = card["validation"]["logged"], card["validation"]["doubly_robust"]
    assert robust[0] > logged[0]
    assert all(low <= value <= high for value, low, high in (logged, robust))
    json.dumps(card)


def test_the_same_arguments_give_the_same_bytes_and_another_seed_others(rewarded: RewardedDecisions) -> None:
    task, dataset, model, card = rewarded
    again = train(task, dataset, None, 3, quiet, QUICK)
    assert (again.model, again.card) == (model, card)
    assert train(task, dataset, None, 4, quiet, QUICK).model != model


def test_what_is_held_out_for_tests_is_never_trained_on(rewarded: RewardedDecisions, tmp_path: Path) -> None:
    task, _, model, _ = rewarded
    rows = logs.rows(task, 3_000, 0)
    for row in rows:
        if row["split"] == "test":
            row["reward"] = 1.0 - row["reward"]
    assert train(task, logs.write(rows, tmp_path / "dataset"), None, 3, quiet, QUICK).model == model


def test_it_learns_from_corrections_alone(tmp_path: Path) -> None:
    task = logs.task(tmp_path)
    dataset = logs.write(logs.rows(task, 200, 1, told="label"), tmp_path / "dataset")
    trained = train(task, dataset, None, 0, quiet, QUICK)
    assert probability_of_right(task, trained.model) > 0.9
    assert trained.card["validation"] == {"corrected_right": 1.0}


def test_rewards_below_zero_are_learnt_from_as_well(tmp_path: Path) -> None:
    task = logs.task(tmp_path)
    rows = logs.rows(task, 1_000, 0)
    for row in rows:
        row["reward"] = 2 * row["reward"] - 1
    trained = train(task, logs.write(rows, tmp_path / "dataset"), None, 0, quiet, QUICK)
    assert trained.card["reward range"] == [-1.0, 1.0]
    assert probability_of_right(task, trained.model) > 0.8


def test_an_action_that_pays_only_later_is_learnt_in_episodes_and_not_without(tmp_path: Path) -> None:
    task = logs.task(tmp_path)
    room = [Sample("x", logs.payload("x"), "application/json", {"action": "b"})]
    found, cards = {}, {}
    for in_steps in (True, False):
        dataset = logs.write(logs.episodes(task, 2_000, 5, in_steps), tmp_path / f"dataset-{in_steps}")
        trained = train(task, dataset, None, 0, quiet, QUICK)
        found[in_steps] = judge(session(trained.model), task, room)[0].decoded.output["probabilities"]
        cards[in_steps] = trained.card
    assert found[True]["b"] > 0.8
    assert found[False]["a"] > 0.8
    said = cards[True]["episodes"]
    assert (said["gamma"], said["left_out"], said["validation"]["episodes"]) == (0.99, {}, 200)
    assert said["validation"]["logged"][2] < 0.2
    assert said["validation"]["doubly_robust"][1] > 0.7
    assert "episodes" not in cards[False]


def test_few_episodes_change_little_of_what_the_parent_knows(tmp_path: Path) -> None:
    task = logs.task(tmp_path)
    model, found = tmp_path / "model.onnx", list[float]()
    for count, seed, parent in ((2_000, 5, None), (40, 6, model), (40, 6, None)):
        dataset = logs.write(logs.episodes(task, count, seed), tmp_path / f"dataset-{len(found)}")
        trained = train(task, dataset, parent, 0, quiet, QUICK)
        model.write_bytes(trained.model)
        room = [Sample("x", logs.payload("x"), "application/json", {"action": "b"})]
        found.append(judge(session(trained.model), task, room)[0].decoded.output["probabilities"]["b"])
    assert found[1] > max(0.75, found[2])


def test_with_a_gamma_of_nothing_what_comes_later_does_not_count(tmp_path: Path) -> None:
    short = logs.task(tmp_path, gamma=0.0)
    datasets = [logs.write(logs.episodes(short, 300, 5, steps), tmp_path / str(steps)) for steps in (True, False)]
    once = replace(QUICK, iterations=1)
    in_steps, without = (train(short, one, None, 0, quiet, once).model for one in datasets)
    assert in_steps == without


def test_steps_whose_return_is_not_known_are_left_out_and_the_card_says_so(tmp_path: Path) -> None:
    task = logs.task(tmp_path)
    rows = logs.episodes(task, 300, 5)
    followed = [row for row, after in pairwise(rows) if after["prediction_id"].endswith("-1")]
    for row in rows:
        if row["prediction_id"].endswith("-1"):
            row["reward"] = None
    trained = train(task, logs.write(rows, tmp_path / "dataset"), None, 0, quiet, QUICK)
    lost = 2 * sum(row["split"] == "train" for row in followed)
    assert trained.card["decisions"]["train"] == sum(row["split"] == "train" for row in rows) - lost
    assert trained.card["episodes"]["left_out"] == {"return unknown": 2 * len(followed)}


def test_where_all_is_left_out_the_reason_is_said(tmp_path: Path) -> None:
    task = logs.task(tmp_path)
    rows = [{**row, "reward": None} for row in logs.episodes(task, 100, 5)]
    with pytest.raises(Untrainable, match=rf"left out: {len(rows)} return unknown"):
        train(task, logs.write(rows, tmp_path / "dataset"), None, 0, quiet, QUICK)


def test_few_decisions_change_little_of_what_the_parent_knows(rewarded: RewardedDecisions, tmp_path: Path) -> None:
    task, _, model, _ = rewarded
    (tmp_path / "model.onnx").write_bytes(model)
    dataset = logs.write(logs.rows(task, 50, 9), tmp_path / "dataset")
    alone = train(task, dataset, None, 0, quiet, QUICK).model
    on_top = train(task, dataset, tmp_path / "model.onnx", 0, quiet, QUICK).model
    assert probability_of_right(task, on_top) > max(0.75, probability_of_right(task, alone))


def test_a_parent_that_now_earns_nothing_changes_its_mind(rewarded: RewardedDecisions, tmp_path: Path) -> None:
    task, _, model, _ = rewarded
    (tmp_path / "model.onnx").write_bytes(model)
    rows = [{**row, "reward": 0.0} for row in logs.rows(task, 1_000, 9)]
    trained = train(task, logs.write(rows, tmp_path / "dataset"), tmp_path / "model.onnx", 0, quiet, QUICK)
    assert trained.card["reward range"] == [0.0, 1.0]
    before, after = (
        np.mean([one.decoded.confidence for one in judge(session(some), task, KINDS)])
        for some in (model, trained.model)
    )
    assert after < 0.3 < before


def test_a_network_comes_back_from_its_file(rewarded: RewardedDecisions) -> None:
    loaded = onnx.load_from_string(rewarded[2])
    assert Network.from_onnx(loaded).to_onnx().SerializeToString() == rewarded[2]
    names = [[value.name for value in values] for values in (loaded.graph.input, loaded.graph.output)]
    assert names == [["context", "actions"], ["logits", "rewards"]]


def test_a_parent_of_another_schema_is_refused(rewarded: RewardedDecisions, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(rewarded[2])
    with pytest.raises(Untrainable, match="another schema"):
        train(Decision(), None, tmp_path / "model.onnx", 0, quiet, QUICK)


def test_a_parent_that_is_no_policy_is_refused(rewarded: RewardedDecisions) -> None:
    with pytest.raises(Untrainable, match="not a model of this task"):
        train(rewarded[0], rewarded[1], Path("models/small/ocr/versions/1/model.onnx"), 0, quiet, QUICK)


def test_too_few_decisions_are_refused(rewarded: RewardedDecisions, tmp_path: Path) -> None:
    with pytest.raises(Untrainable, match="at least 30"):
        train(rewarded[0], logs.write(logs.rows(rewarded[0], 30, 0), tmp_path / "dataset"), None, 0, quiet, QUICK)


def test_rewards_that_are_all_the_same_are_refused(rewarded: RewardedDecisions, tmp_path: Path) -> None:
    rows = [{**row, "reward": 1.0} for row in logs.rows(rewarded[0], 100, 0)]
    with pytest.raises(Untrainable, match="All rewards are 1"):
        train(rewarded[0], logs.write(rows, tmp_path / "dataset"), None, 0, quiet, QUICK)


def test_a_schema_of_ones_own_needs_a_dataset(rewarded: RewardedDecisions) -> None:
    with pytest.raises(Untrainable, match="a dataset"):
        train(rewarded[0], None, None, 0, quiet, QUICK)


def test_a_version_is_written_with_its_card(rewarded: RewardedDecisions, tmp_path: Path) -> None:
    write(Trained(rewarded[2], rewarded[3]), tmp_path / "7", "the command")
    card = json.loads((tmp_path / "7" / "card.json").read_text())
    assert (card["task"], card["version"], card["created by command"]) == ("decision", "7", "the command")
    assert (tmp_path / "7" / "model.onnx").stat().st_size == card["model bytes"]


def test_help_shows_an_example() -> None:
    app = typer.Typer()
    app.command()(main)
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    assert "python -m models.decision.train --seed 0" in result.output
