from types import SimpleNamespace
from typing import Any

import pytest

from app.outcomes.label_aggregation import draw_selection
from app.pages.overview import latest
from app.pages.overview.latest import LatestAnswer, LatestAnswers
from app.services.payloads import Payload, PayloadNotFound
from app.settings import TaskSettings

RULES = TaskSettings(audit_rate=0.5)
IDS = [f"ocr:{number}" for number in range(20)]
AUDITED = [prediction_id for prediction_id in IDS if draw_selection(RULES, prediction_id)[0] == "audit"]
OTHERS = [prediction_id for prediction_id in IDS if prediction_id not in AUDITED]


class Payloads:
    """Payloads that may be erased."""

    erased = False

    async def read(self, prediction_id: str) -> Payload:
        if self.erased:
            raise PayloadNotFound("it was erased")
        return Payload(b"%PDF-", "application/pdf", "payload")


def latest_of(monkeypatch: pytest.MonkeyPatch, payloads: Payloads, *prediction_ids: str) -> LatestAnswers:
    """Return the latest answers of a platform with these answers, the newest first."""
    rows = [(prediction_id, {"output": {"text": "1"}, "confidence": 0.9}) for prediction_id in prediction_ids]
    monkeypatch.setattr(latest, "latest_answers", lambda connection, task, versions: rows)
    services: Any = SimpleNamespace(
        tasks={"ocr": None},
        settings=SimpleNamespace(for_task=lambda task: RULES),
        controller=SimpleNamespace(models={"ocr": SimpleNamespace(versions={"1": None})}),
        catalog=SimpleNamespace(query=lambda find: find(None)),
        payloads=payloads,
    )
    return LatestAnswers(services)


async def test_the_latest_answer_outside_of_the_blind_audit_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = latest_of(monkeypatch, Payloads(), AUDITED[0], OTHERS[0], OTHERS[1])
    assert {task: answer.prediction_id for task, answer in (await answers.read()).items()} == {"ocr": OTHERS[0]}


@pytest.mark.parametrize("ids", [[], AUDITED])
async def test_a_task_without_such_an_answer_is_left_out(monkeypatch: pytest.MonkeyPatch, ids: list[str]) -> None:
    assert await latest_of(monkeypatch, Payloads(), *ids).read() == {}


async def test_an_erased_answer_is_no_longer_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    payloads = Payloads()
    answers = latest_of(monkeypatch, payloads, OTHERS[0])
    assert await answers.read()
    payloads.erased = True
    monkeypatch.setattr(latest, "_MAX_AGE_SECONDS", -1.0)
    assert await answers.read() == {}


def test_lines_and_boxes_are_outlined() -> None:
    lines = [{"text": "a", "polygon": [[0, 0], [9, 0], [9, 5], [0, 5]]}]
    assert LatestAnswer("ocr:1", {"text": "a", "lines": lines}, 1.0, "pages").outlines == lines
    [box] = LatestAnswer("ocr:1", {"boxes": [{"box": [1, 2, 3, 4], "label": "cup"}]}, 1.0, "image").outlines
    assert box == {"text": "cup", "polygon": [[1, 2], [3, 2], [3, 4], [1, 4]]}
    assert LatestAnswer("ocr:1", {"text": "a"}, 1.0, "image").outlines == ()
