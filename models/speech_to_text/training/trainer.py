"""Versions of `speech_to_text` whose decoder has learned by feedback: its layers change, all else is the parent's."""

from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from models.base import OnStep, Task, Trained
from models.manifest import write_version
from models.nn.onnx_inference import judge
from models.provenance import parent_and_dataset, provenance
from models.runtimes import open_version
from models.small.speech_to_text.data.clips import HELD_OUT, shipped
from models.speech_to_text.training.feedback import Log, SpokenText, read_log
from models.speech_to_text.training.fitting import PLAN, Examples, Plan, fit, open_decoder, tuned
from models.speech_to_text.training.version import SpeechVersion

SURE = 0.8
"""The least confidence of the log's segments that are rehearsed."""


@dataclass(frozen=True)
class Sizes:
    """How many utterances are rehearsed: the log's own at most, and ones of made voices."""

    logged: int = 300
    made: int = 40
    validation: int = 5
    """One in so many is to choose by."""
    held_out: int = 1_000
    """For the card's figures."""


@dataclass(frozen=True)
class SpeechAdapter:
    """How a version of `speech_to_text` learns by feedback."""

    task: Task
    plan: Plan = PLAN
    sizes: Sizes = Sizes()

    def train(self, dataset: Path | None, parent: Path | None, seed: int, on_step: OnStep) -> Trained:
        """Return a version that is fitted to a dataset, see `models.training.Trainer`. Raises `Untrainable`."""
        parent, dataset = parent_and_dataset(self.task.name, parent, dataset)
        log, plan = read_log(dataset, SURE, self.sizes.logged), replace(self.plan, seed=seed)
        on_step("encoding recordings", 0, len(log.train) + len(log.validation))
        version = SpeechVersion.of(parent)
        feedback, choosing = version.utterances(log.train), version.utterances(log.validation)
        rehearsed = version.utterances(self._rehearsed(log))
        decoder = open_decoder(version.weights, [*feedback, *choosing, *rehearsed])
        rehearsed, every = decoder.with_parents(rehearsed), self.sizes.validation
        kept = [one for place, one in enumerate(rehearsed) if place % every]
        factors = fit(decoder, Examples(feedback, kept), plan, lambda step, steps: on_step("fitting", step, steps))
        on_step("measuring", 0, None)
        chosen = tuned(decoder, factors, Examples(choosing, rehearsed[::every]), plan)
        manifest, files = version.changed(chosen.matrices)
        card = {
            "task": self.task.name,
            "preprocess_version": self.task.preprocess_version,
            **provenance(seed, parent, dataset),
            "feedback": dict(log.counts),
            "rehearsed utterances": len(rehearsed),
            "open tokens": len(decoder.classes),
            "plan": asdict(plan),
            **chosen.card(),
        }
        trained = Trained(manifest, card, files)
        before, after = self._figures(parent), self._figures_of(trained, parent)
        return replace(trained, card={**card, "figures": after, "figures before": before})

    def _rehearsed(self, log: Log) -> list[SpokenText]:
        made = []
        for sample in shipped(HELD_OUT)[: self.sizes.made]:
            codes = self.task.preprocess(sample.payload)["samples"]
            made.append(SpokenText(codes, sample.correction["text"]))
        return [*log.sure, *made]

    def _figures_of(self, trained: Trained, parent: Path) -> dict[str, float]:
        with TemporaryDirectory() as directory:
            return self._figures(write_version(Path(directory), trained.model, trained.files, parent))

    def _figures(self, version: Path) -> dict[str, float]:
        samples = list(islice(self.task.held_out(), self.sizes.held_out))
        return self.task.figures(judge(open_version(version), self.task, samples)) if samples else {}
