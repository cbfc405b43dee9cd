"""The models of `make run` on a running platform: a page, a person's voice and a photograph are read."""

from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from app.client import Hindsight
from models.base import Task
from models.object_detection import ObjectDetection
from models.ocr import Ocr
from models.small import SMALL_TASKS
from models.speech_to_text import SpeechToText
from tests.support.platform import platform_settings, run_processes

REAL_TASKS = {name: path.replace(".small.", ".") for name, path in SMALL_TASKS.items() if name != "decision"}
MIN_SCORES: dict[type[Task], float] = {Ocr: 0.95, SpeechToText: 0.85, ObjectDetection: 0.5}
"""Of a task's samples on average: far above what the small networks or chance reach."""


@pytest.mark.xdist_group("real_models")
async def test_a_page_a_voice_and_a_photograph_are_read_by_the_models_of_make_run(tmp_path: Path) -> None:
    config = platform_settings(tmp_path, tasks=REAL_TASKS)
    platform = run_processes(config, only=("kafka", "preprocess", "mlserver", "worker"))
    async with platform, Hindsight(config.bootstrap) as client:
        for kind, least in MIN_SCORES.items():
            await check_samples(client, kind(), least)


async def check_samples(client: Hindsight, task: Task, least: float) -> None:
    outputs: dict[str, Any] = {}
    for sample in task.samples():
        outputs[sample.name] = (await client.predict(task.name, sample.payload, timeout=120)).output
    scores = {sample.name: task.score(outputs[sample.name], sample.correction) for sample in task.samples()}
    assert fmean(scores.values()) >= least, {name: (score, outputs[name]) for name, score in scores.items()}
