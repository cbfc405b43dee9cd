"""The sources of each task's requests: the usual one, a new one, another one."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from io import BytesIO

import numpy as np
from PIL import Image, ImageOps

from benchmarks.studies.drifted import SOURCES
from benchmarks.studies.loop_worth.streams import Samples, StreamedTask
from models.audio.files import RATE, read_audio
from models.base import Sample
from models.decision import Decision
from models.decision.data import simulator
from models.small.object_detection import ObjectDetection
from models.small.ocr import Ocr
from models.small.speech_to_text import SpeechToText
from models.small.speech_to_text.data import clips
from models.small.speech_to_text.data.acoustics import RecordingConditions, record
from tests.support.scales import Scales, weigh_samples

STREET = RecordingConditions(reverberant=0.0, narrow=0.0, noisy=1.0, softest_noise_db=8.0, loudest_noise_db=0.0)
NIGHT_HOURS = 6
_CHUNK = 100


def _drifted(name: str) -> Callable[[int], Samples]:
    """Return the source on which the shipped version is bad, as the study `rewards` has it."""

    def draw(seed: int) -> Samples:
        part = 0
        while True:
            yield from SOURCES[name].samples(0, _CHUNK, 1000 * seed + part).logged
            part += 1

    return draw


def _street(seed: int) -> Samples:
    """Yield the usual clips in a loud street."""
    rng = np.random.default_rng([seed, 2])
    for clip in clips.stream(seed + 1):
        yield replace(clip, payload=clips.wav(record(read_audio(clip.payload), RATE, rng, STREET)))


def _infrared(seed: int) -> Samples:
    """Yield the usual scenes without colours, light and dark reversed."""
    for scene in ObjectDetection().demonstration(seed + 1):
        buffer = BytesIO()
        ImageOps.invert(ImageOps.grayscale(Image.open(BytesIO(scene.payload)))).convert("RGB").save(buffer, "JPEG")
        yield replace(scene, payload=buffer.getvalue(), content_type="image/jpeg")


def _visitors(turn: int) -> Callable[[int], Samples]:
    """Return visitors of the shop; if their tastes are turned, they come at night, from another part of the world."""

    def draw(seed: int) -> Samples:
        rng = np.random.default_rng([seed, 31, turn])
        while True:
            request = simulator.visit(rng)
            if turn:
                request["context"]["hour"] = int(rng.integers(NIGHT_HOURS))
            sample = Sample("visit", json.dumps(request).encode(), "application/json", {}, str(turn))
            expected = _acceptances(sample)
            yield replace(sample, correction={"action": max(expected, key=expected.__getitem__)})

    return draw


def _acceptances(sample: Sample) -> Mapping[str, float]:
    """Return the probability of acceptance by action: of the taste of those who are interested in another category."""
    request, names = json.loads(sample.payload), simulator.CATEGORIES
    context = request["context"]
    context["interest"] = names[(names.index(context["interest"]) + int(sample.group)) % len(names)]
    return simulator.acceptance_probabilities(request)


STREAMED_TASKS: Mapping[str, StreamedTask] = {
    "scales": StreamedTask(
        Scales,
        {
            "usual": lambda seed: weigh_samples(0, 0.0),
            "new": lambda seed: weigh_samples(1, 5.0),
            "other": lambda seed: weigh_samples(1, -3.0),
        },
    ),
    "ocr": StreamedTask(
        Ocr,
        {
            "usual": lambda seed: Ocr().demonstration(seed),
            "new": _drifted("ocr"),
            "other": lambda seed: Ocr().drifted(seed),
        },
    ),
    "speech_to_text": StreamedTask(
        SpeechToText, {"usual": clips.stream, "new": _drifted("speech_to_text"), "other": _street}
    ),
    "object_detection": StreamedTask(
        ObjectDetection,
        {
            "usual": lambda seed: ObjectDetection().demonstration(seed),
            "new": _drifted("object_detection"),
            "other": _infrared,
        },
    ),
    "decision": StreamedTask(
        Decision, {"usual": _visitors(0), "new": _visitors(1), "other": _visitors(2)}, rewards=_acceptances
    ),
}
