"""Versions of `object_detection` whose last layers have learned by corrections: all else is the parent's."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from models.adapters.replaced_weights import changed, replaced
from models.base import OnStep, Task, Trained
from models.nn.onnx_inference import judge, session
from models.object_detection.pictures import squared
from models.object_detection.training.adaptation import PLAN, CellSplits, Plan, adapt
from models.object_detection.training.cells import Cells, cells_of, joined
from models.object_detection.training.feedback import CorrectedPicture, LoggedPictures, read
from models.object_detection.training.losses import initial, merged
from models.object_detection.training.matching import matches
from models.object_detection.training.network import CutDetector
from models.provenance import parent_and_dataset, provenance
from models.small.object_detection.data.scenes import compose


@dataclass(frozen=True)
class Sizes:
    """How many pictures are rehearsed: made ones, and the log's own at most."""

    made: int = 100
    logged: int = 400
    validation: int = 5
    """One in so many is to choose by."""
    held_out: int | None = None
    """Pictures for the card's figures; None for all."""


@dataclass(frozen=True)
class DetectorAdapter:
    """How a version of `object_detection` learns by corrections."""

    task: Task
    plan: Plan = PLAN
    sizes: Sizes = Sizes()

    def train(self, dataset: Path | None, parent: Path | None, seed: int, on_step: OnStep) -> Trained:
        """Return a version that is fitted to a dataset, see `models.training.Trainer`. Raises `Untrainable`."""
        parent, dataset = parent_and_dataset(self.task.name, parent, dataset)
        detector, plan = CutDetector.of(parent), replace(self.plan, seed=seed)
        on_step("reading pictures", 0, None)
        log = read(dataset, detector.anchors, self.task.labels(), self.sizes.logged)
        on_step("computing features", 0, None)
        corrected = CellSplits(
            _corrected(detector, log.train, seed),
            _corrected(detector, log.validation, seed) if log.validation else None,
        )
        rehearsed, count = self._rehearsed(detector, log, seed)
        tuned = adapt(
            initial(detector.levels),
            detector.slope,
            corrected,
            rehearsed,
            plan,
            lambda step, steps: on_step("fitting", step, steps),
        )
        on_step("measuring", 0, None)
        weights = detector.weights(merged(detector.levels, tuned.parameters))
        manifest, files = changed(detector.files, weights)
        card = {
            "task": self.task.name,
            "preprocess_version": self.task.preprocess_version,
            **provenance(seed, parent, dataset),
            "feedback": dict(log.counts),
            "rehearsed pictures": count,
            "plan": asdict(plan),
            **tuned.card(),
            "figures": self._figures(replaced(detector.model, weights)),
            "figures before": self._figures(detector.model),
        }
        return Trained(manifest, card, files)

    def _rehearsed(self, detector: CutDetector, log: LoggedPictures, seed: int) -> tuple[CellSplits, int]:
        """Return cells of made pictures and of the log's, and how many there are."""
        rng = np.random.default_rng([seed, 29])
        squares = [*log.sure, *(squared(compose("train", rng).image) for _ in range(self.sizes.made))]
        every = self.sizes.validation
        train, validation = [one for place, one in enumerate(squares) if place % every], squares[::every]
        return CellSplits(*(_kept(detector, part, seed) for part in (train, validation))), len(squares)

    def _figures(self, model: onnx.ModelProto) -> dict[str, float]:
        held_out = list(islice(self.task.held_out(), self.sizes.held_out))
        return self.task.figures(judge(session(model.SerializeToString()), self.task, held_out))


def _corrected(detector: CutDetector, pictures: Sequence[CorrectedPicture], seed: int) -> Cells:
    squares, seen = [one.square for one in pictures], [one.seen for one in pictures]
    return joined(list(cells_of(detector, squares, seen, seed)))


def _kept(detector: CutDetector, squares: Sequence[NDArray[np.uint8]], seed: int) -> Cells:
    nothing = matches(detector.anchors, np.zeros((0, 4), np.float32), [])
    return joined(list(cells_of(detector, squares, [nothing] * len(squares), seed)))
