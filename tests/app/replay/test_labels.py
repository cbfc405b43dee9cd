import dataclasses
import json
import random
from operator import itemgetter
from typing import Any

import pytest

from app.events.cloudevents import Record
from app.events.memory import MemoryAnswer
from app.events.types import FeedbackRetracted
from app.settings import RewardSettings, TaskSettings
from tests.app.replay.logs import ONE, TASK, THREE, TWO, BuildDataset, history
from tests.support.request_history import SOURCE, RequestHistory, append_to_log, ce_time, to_datetime


def test_a_missing_reward_is_the_default_once_its_window_has_ended(build: BuildDataset) -> None:
    rules = TaskSettings(reward_window_seconds=10, reward_default=-0.5)
    log = append_to_log([*history(ONE, TWO), (5, TWO.feedback_record(1, reward=1.0))])
    early, _ = build(log, rules=rules, as_of=to_datetime(9))
    assert early["reward"].to_list() == [None, 1.0]
    late, _ = build(log, rules=rules, as_of=to_datetime(20))
    assert late["reward"].to_list() == [-0.5, 1.0]
    assert late["reward_defaulted"].to_list() == [True, False]


@pytest.mark.parametrize("seed", range(3))
def test_named_rewards_are_those_of_the_recorder_in_any_order_and_any_repetition(
    build: BuildDataset, seed: int
) -> None:
    rules = TaskSettings(
        reward_window_seconds=60,
        rewards={
            "click": RewardSettings(weight=0.1, window_seconds=5, combine="max"),
            "purchase": RewardSettings(weight=0.6, window_seconds=30, combine="sum"),
        },
    )
    feedback = [
        ONE.feedback_record(1, 4, reward=1.0, reward_name="click"),
        ONE.feedback_record(2, 3, reward=0.2, reward_name="click"),
        ONE.feedback_record(3, 6, reward=0.9, reward_name="click"),
        ONE.feedback_record(4, 20, reward=0.5, reward_name="purchase"),
        ONE.feedback_record(5, 30, "bob", reward=0.5, reward_name="purchase"),
        ONE.feedback_record(6, 7, reward=1.0, reward_name="share"),
        TWO.feedback_record(1, 4, reward=0.25),
        THREE.feedback_record(1, 4, reward=0.5, position=2),
        THREE.feedback_record(2, 4, reward=1.0, reward_name="click", position=1),
    ]
    log = [*history(ONE, TWO, THREE), *((50.0, record) for record in (*feedback, retraction_record(ONE, 5, "bob")))]
    rows, manifest = build(append_to_log(log), rules=rules)
    assert rows["reward"].to_list() == pytest.approx([0.1 + 0.6 * 0.5, 0.25, 0.1 + 0.5])
    assert json.loads(rows["rewards"][0]) == {"click": 1.0, "purchase": 0.5, "share": 1.0}
    assert rows["rewards"].to_list()[1:] == [None, '{"click":1.0}']
    assert rows["position_rewards"].to_list() == [None, None, "[0.1, 0.5]"]
    records = [record for _, record in log]
    deliveries = random.Random(seed).sample(records * 2, 2 * len(records))
    again = build(append_to_log((float(place), record) for place, record in enumerate(deliveries)), rules=rules)
    assert again[1]["content_hash"] == manifest["content_hash"]


def test_preferences_are_in_the_dataset_and_its_hash_until_they_are_retracted(build: BuildDataset) -> None:
    given = [*history(ONE, TWO), (5.0, ONE.feedback_record(1, preference={"output": {"sum": 1.0}, "better": True}))]
    (rows, manifest), (_, again) = (build(append_to_log(given)) for _ in range(2))
    assert rows["preferences"].to_list() == ['[{"better":true,"output":{"sum":1.0}}]', None]
    _, without = build(append_to_log(history(ONE, TWO)))
    retracted, manifest_retracted = build(append_to_log([*given, (10.0, retraction_record(ONE, 1))]))
    assert retracted["preferences"].to_list() == [None, None]
    assert manifest["content_hash"] == again["content_hash"] != without["content_hash"]
    assert manifest_retracted["content_hash"] == without["content_hash"]


def retraction_record(request: RequestHistory, number: int, actor: str = "ada", source: str | None = None) -> Record:
    """Return the retraction of the `number`-th feedback on a request."""
    retraction = FeedbackRetracted(
        prediction_id=request.prediction_id,
        retracts=f"f{request.number}-{number}",
        retracts_source=source,
        actor=actor,
    )
    key, id = request.prediction_id.encode(), f"{retraction.retracts} by {actor} of {source}"
    return retraction.to_record("letters.feedback", key, id=id, source="undo", time=ce_time(request.number))


def test_retracted_feedback_is_still_there_as_of_before_its_retraction(build: BuildDataset) -> None:
    given = [*history(ONE, TWO), (5.0, ONE.feedback_record(1)), (5.0, TWO.feedback_record(1))]
    log = append_to_log([*given, (10.0, retraction_record(ONE, 1))])
    before, _ = build(log, as_of=to_datetime(9))
    assert before["label"].to_list() == ['{"sum":1.0}'] * 2
    after, manifest = build(log)
    assert after["label"].to_list() == [None, '{"sum":1.0}']
    assert manifest["counts"]["feedback"] == {
        "read": 3,
        "rows": 1,
        "skipped": {"retracted": 1, "retraction": 1},
        "rejected": {},
    }


@pytest.mark.parametrize("rules", [TaskSettings(), TaskSettings(reward_window_seconds=10)], ids=["no window", "window"])
def test_a_dataset_is_as_if_retracted_feedback_was_never_given(build: BuildDataset, rules: TaskSettings) -> None:
    """Whatever is retracted, by whom, in which order, and how often."""
    random_source = random.Random(1)
    requests = [RequestHistory(number) for number in range(1, 41)]
    remaining, log = history(*requests), history(*requests)
    for request in requests:
        for number in range(random_source.randrange(4)):
            actor, values = random_source.choice(("ada", "bob")), ({"correction": {"sum": 2.0}}, {"reward": 0.5})
            record = request.feedback_record(number, number, actor, **random_source.choice(values))
            retractions = [
                (retracting, source, retraction_record(request, number, retracting, source))
                for retracting in ("ada", "bob")
                for source in (None, SOURCE, "another")
                if random_source.random() < 0.2
            ]
            is_retracted = any(by == actor and source in (None, SOURCE) for by, source, _ in retractions)
            remaining += [] if is_retracted else [(50.0, record)]
            undone = [retraction for *_, retraction in retractions] * 2
            log += [(random_source.uniform(0, 100), copy) for copy in (record, *undone)]
    rows, manifest = build(append_to_log(log), rules=rules)
    expected_rows, expected = build(append_to_log(remaining), rules=rules)
    assert rows["label"].to_list() == expected_rows["label"].to_list()
    assert manifest["content_hash"] == expected["content_hash"]
    assert manifest["counts"]["feedback"]["skipped"]["retracted"] > 5


def test_a_retraction_by_a_plain_kafka_client_needs_no_headers(build: BuildDataset) -> None:
    retraction = retraction_record(ONE, 1)
    plain = Record(retraction.topic, retraction.key, retraction.value, ())
    rows, _ = build(append_to_log([(0.0, plain), *history(ONE), (5.0, ONE.feedback_record(1))]))
    assert rows["label"].to_list() == [None]


def test_a_row_of_a_remembered_correction_is_of_the_models_own_output(build: BuildDataset) -> None:
    rules = TaskSettings(reward_window_seconds=10, reward_default=-0.5)
    memory = MemoryAnswer(corrected="p", outcome="o", output={"sum": 7.0}, confidence=0.25, propensity=0.5)
    served = {"output": {"sum": 8.0}, "memory": memory, "confidence": 2 / 3}
    log = [
        *history(TWO),
        *(
            (5.0, record)
            for request in (ONE, THREE)
            for record in (request.request_record(), request.features_record(TASK))
        ),
        *((6.0, request.prediction_record(**served)) for request in (ONE, THREE)),
        (7.0, ONE.feedback_record(1, accepted=True, reward=1.0)),
    ]
    rows, _ = build(append_to_log(sorted(log, key=itemgetter(0))), rules=rules)
    one, two, three = rows.sort("request_id").iter_rows(named=True)
    assert (one["output"], one["confidence"], one["propensity"]) == ('{"sum":7.0}', 0.25, 0.5)
    assert (one["label"], one["score"], one["accepted"], one["reward"]) == ('{"sum":8.0}', 0.0, None, None)
    assert (two["output"], two["reward"], two["reward_defaulted"]) == ('{"sum":363.0}', -0.5, True)
    assert (three["output"], three["label"], three["reward"]) == ('{"sum":7.0}', None, None)


@pytest.mark.parametrize("memory", [7, {}, {"output": {}, "confidence": 2, "propensity": 1}])
def test_a_prediction_with_a_memory_that_can_not_be_read_is_rejected(build: BuildDataset, memory: Any) -> None:
    request, features, prediction = history(ONE)
    data = json.loads(prediction[1].value or b"") | {"memory": memory}
    broken = dataclasses.replace(prediction[1], value=json.dumps(data).encode())
    rows, manifest = build(append_to_log([request, features, (prediction[0], broken)]))
    assert len(rows) == 0
    assert manifest["counts"]["predictions"]["rejected"] == {"unreadable": 1}
