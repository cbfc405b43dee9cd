"""New tasks on the real platform answer a raw payload with a prediction."""

import re
from pathlib import Path

import pytest
from PIL import Image

from app.events import topics
from app.settings import CHECKOUT
from app.templates.foreign.creation import create_foreign_task
from app.templates.foreign.hints import Hints
from app.templates.scaffold import create_task
from tests.support import foreign_models
from tests.support.commands import run_command
from tests.support.kafka_clients import OutgoingRecord, open_topic_reader, publish
from tests.support.platform import platform_settings, run_processes
from tests.support.sample_files import encode_picture
from tests.support.walkthrough import BLOCKS


@pytest.mark.soak
async def test_a_new_task_answers_as_the_walkthrough_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [block] = [block for block in BLOCKS if "hindsight send" in block]
    (tmp_path / ".venv").symlink_to(CHECKOUT / ".venv")
    monkeypatch.syspath_prepend(tmp_path)
    created = create_task("mood", tmp_path, [])
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    settings = platform_settings(tmp_path, tasks={"mood": created.class_path})
    async with run_processes(settings, only=("kafka", "preprocess", "mlserver", "worker")):
        async with open_topic_reader(settings, topics.predictions("mood")) as answers:
            await publish(settings, topics.requests("mood"), [OutgoingRecord(b"I have paid the invoice.")])
            [answer] = (await answers.read_answers(1, seconds=180)).values()
        done = await run_command(settings, "bash", "-euo", "pipefail", "-c", block, cwd=tmp_path)
    assert answer["output"] == {"label": "statement"}
    assert done.code == 0, done.err
    assert re.fullmatch(r'question\.txt  \{"label": "question"\}  confidence .*\n', done.out)


@pytest.mark.soak
async def test_the_task_of_a_foreign_model_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    model = foreign_models.save(foreign_models.colour_classifier(), tmp_path / "colours.onnx")
    hints = Hints(labels=("red", "green", "blue"))
    created, _, _ = create_foreign_task("lamp", tmp_path, [], model, None, hints, [])
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    settings = platform_settings(tmp_path, tasks={"lamp": created.class_path})
    pictures = [encode_picture(Image.new("RGB", (40, 30), colour), "PNG") for colour in ("blue", "red")]
    async with (
        run_processes(settings, only=("kafka", "preprocess", "mlserver", "worker")),
        open_topic_reader(settings, topics.predictions("lamp")) as answers,
    ):
        await publish(settings, topics.requests("lamp"), [OutgoingRecord(picture) for picture in pictures])
        read = (await answers.read_answers(2, seconds=180)).values()
    assert {answer["output"]["label"] for answer in read} == {"blue", "red"}
