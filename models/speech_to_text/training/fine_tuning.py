"""Training from a parent on what a dataset says of its recordings: `models.nn.ctc_feedback` and `ctc_fine_tuning`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx

from models.base import OnStep
from models.nn.ctc_feedback import Reading
from models.nn.ctc_fine_tuning import Rehearsal
from models.nn.ctc_trainer import Lesson
from models.speech_to_text.data.generation import Utterance
from models.speech_to_text.data.rehearsal import rehearsal
from models.speech_to_text.symbols import canonical, decode, encode
from models.speech_to_text.task import SpeechToText
from models.speech_to_text.training.finalization import figures, finish
from models.speech_to_text.training.network import FINE_PLAN, NETWORK, SIGNAL, example

READING = Reading(SIGNAL.name, NETWORK, FINE_PLAN.buckets[-1], lambda said: encode(canonical(said["text"])))


def fine_tuned(
    task: SpeechToText, dataset: Path, parent: Path, seed: int, on_step: OnStep
) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """A model and its card; the parent's own model, where nothing that was tried is better. Raises `Untrainable`."""
    plan = replace(FINE_PLAN, seed=seed)
    lesson = Lesson.read(READING, dataset, parent)
    train, validation = rehearsal("train"), rehearsal("validation")
    rehearsed = Rehearsal([example(one) for one in train], [example(one) for one in validation])
    tuned = lesson.learned(rehearsed, plan, lambda step, steps, _: on_step("fitting", step, steps))
    on_step("measuring", 0, None)
    model, found = lesson.parent, (before := figures(task, lesson.parent))
    if tuned.share:
        corrected = [Utterance(one.signal, decode(one.labels)) for one in lesson.said.corrected_validation]
        model, found = finish(task, tuned.parameters, [*validation, *corrected])
    return model, {**lesson.card(tuned, rehearsed, plan), "figures": found, "figures before": before}
