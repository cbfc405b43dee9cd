"""The memory of a task's recent corrections, which are served again for an equal input. Pure: built from outcomes.

Two inputs are equal if all their features are, byte by byte. Where the settings say so, a correction is also served for
a nearly equal input: no value of both keys (`Task.near_key`) differs by more than the task's bound, the model's outputs
for both are equally good, and all corrections within the bound agree. The corrections of an input are the labels of its
predictions: by the task's label rule the newest counts, or the one that more than half of them have. What a version has
learned does not count for this version: so a promotion empties the memory, and a rollback fills it again.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from app.events.base import canonical_json
from app.events.cloudevents import ConsumedRecord, Event, complete_event, is_marked
from app.events.decoding import decode
from app.events.memory import MemoryAnswer
from app.events.types import OutcomeRecorded
from app.inference.near_inputs import MAX_VALUES, Key, NearInputs, decode_key, encode_key
from app.inference.predictor import PredictionResult
from app.outcomes.label_aggregation import as_correction
from app.outcomes.recorder import Clock, utc_now
from app.settings import TaskSettings
from app.settings.memory import CorrectionMemorySettings
from models.base import Decoded, Features, Rejected, Task

MAX_LABEL_BYTES = 64 * 1024
"""A larger correction is not remembered: it bounds the memory, and the size of a prediction, which has both outputs."""
MAX_PREDICTIONS = 100
"""Predictions of one input whose corrections are kept, the newest."""

LearnedUntil = Callable[[str], datetime | None]
"""Returns the time until which a version has learned all corrections; None if it has learned none of the log."""


@dataclass(frozen=True)
class RememberedLabel:
    """The label of a prediction's newest outcome, in canonical JSON; None if it has none that counts."""

    label: str | None
    prediction_id: str
    outcome_id: str
    time: datetime
    """The time of the outcome: all feedback in it was given before."""
    own: Mapping[str, Any]
    """The model's own output."""


def input_digest(event: Event) -> str:
    """Return the SHA-256 of a request's features, and of what says how to read them."""
    digest = hashlib.sha256(event.extensions.get("preprocessversion", "").encode() + b"\0")
    digest.update(event.extensions["tensors"].encode() + b"\0")
    digest.update(event.data)
    return digest.hexdigest()


class CorrectionMemory:
    """The corrections of one task, by the digest of their input, from the oldest to the newest."""

    def __init__(
        self,
        task: Task,
        task_settings: TaskSettings,
        learned_until: LearnedUntil,
        clock: Clock = utc_now,
    ) -> None:
        self._task = task
        self._label_rule = task_settings.label_rule
        self.limits = task_settings.correction_memory or CorrectionMemorySettings()
        self._learned_until = learned_until
        self._clock = clock
        self._labels: dict[str, dict[str, RememberedLabel]] = {}
        self._near = NearInputs(task.near_bound) if self.limits.near else None
        self.is_complete = False
        """Whether the log was read to its end: before, a retraction may be missing, and the model answers."""

    def clear(self) -> None:
        """Forget everything, to be read from the log again."""
        self._labels.clear()
        if self._near is not None:
            self._near.clear()
        self.is_complete = False

    @property
    def oldest(self) -> datetime:
        """The time before which corrections are forgotten."""
        return self._clock() - timedelta(hours=self.limits.max_age_hours)

    def apply(self, record: ConsumedRecord) -> None:
        """Remember the label of an outcome, in any order of deliveries. Ignore records that can't be read."""
        try:
            event = complete_event(record.headers, record.value or b"", record.origin, OutcomeRecorded.type)
            outcome = decode(event.type, event.data)
        except Rejected:  # the catalog reports it
            return
        if not isinstance(outcome, OutcomeRecorded) or outcome.task != self._task.name or is_marked(record.headers):
            return
        if outcome.input_digest is not None:
            time = datetime.fromisoformat(event.time).astimezone(UTC)
            label = RememberedLabel(self._label(outcome), outcome.prediction_id, event.id, time, outcome.output)
            # An outcome without feedback is one of the audit, and says nothing.
            if label.label is not None or outcome.feedback or outcome.retracted:
                self._keep(outcome.input_digest, label)
                if self._near is not None and outcome.near_key is not None:
                    with suppress(ValueError):
                        self._near.put(outcome.input_digest, decode_key(outcome.near_key))

    def _label(self, outcome: OutcomeRecorded) -> str | None:
        """Return the outcome's label, if it may be served."""
        if outcome.label is None or (outcome.contradicted and self._label_rule == "majority"):
            return None
        try:
            label = canonical_json(self._task.validate_correction(outcome.label))
        except Rejected:
            return None
        return label if len(label) <= MAX_LABEL_BYTES else None

    def _keep(self, digest: str, label: RememberedLabel) -> None:
        labels = self._labels.get(digest, {})
        known = labels.get(label.prediction_id)
        if known is not None and (known.time, known.outcome_id) >= (label.time, label.outcome_id):
            return
        others = (other for other in labels.values() if other.prediction_id != label.prediction_id)
        newest = sorted((*others, label), key=_age)[-MAX_PREDICTIONS:]
        self._labels.pop(digest, None)  # reinsert: ordered by last correction
        self._labels[digest] = {kept.prediction_id: kept for kept in newest}
        if len(self._labels) > self.limits.capacity:
            oldest = next(iter(self._labels))
            del self._labels[oldest]
            if self._near is not None:
                self._near.discard(oldest)

    def recall(self, version: str, digest: str) -> tuple[RememberedLabel, float] | None:
        """Return the correction of an input that a version has not learned, and its confidence; None if there is none.

        The confidence is that of k agreeing labels among n: (k + 1) / (n + 2), Laplace's rule of succession.
        """
        labels = self._labels.get(digest)
        if labels is None or not self.is_complete:
            return None
        since = max(self.oldest, self._learned_until(version) or self.oldest)
        counted = sorted(
            (label for label in labels.values() if label.label is not None and label.time > since), key=_age
        )
        if not counted:
            return None
        votes = Counter(label.label for label in counted)
        chosen = counted[-1].label if self._label_rule == "latest" else max(votes, key=lambda label: votes[label])
        if self._label_rule == "majority" and 2 * votes[chosen] <= len(counted):
            return None
        newest = next(label for label in reversed(counted) if label.label == chosen)
        return newest, (votes[chosen] + 1) / (len(counted) + 2)

    def recall_near(
        self, version: str, digest: str, key: Key | None, output: Mapping[str, Any]
    ) -> tuple[RememberedLabel, float, int] | None:
        """Return the correction of the nearest of the nearly equal inputs, its confidence, and its distance.

        None if there is none, or if they disagree. What is known of the input itself counts more.
        """
        if self._near is None or key is None or digest in self._labels:
            return None
        near = [
            (*recalled, distance)
            for distance, other in self._near.find(key)
            if (recalled := self.recall(version, other)) is not None and self._agree(recalled[0].own, output)
        ]
        return near[0] if len({label.label for label, *_ in near}) == 1 else None

    def _agree(self, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
        """Return whether each output is right if the other one is."""
        truths = as_correction(self._task, one), as_correction(self._task, other)
        return self._task.score(one, truths[1]) >= 1.0 and self._task.score(other, truths[0]) >= 1.0

    def answer(self, version: str, event: Event, features: Features, result: PredictionResult) -> PredictionResult:
        """Return the model's result with the digest of its input, or the correction of an equal input in its place.

        Nothing is replaced if the model's output is equal to the correction.
        """
        digest, own = input_digest(event), result.prediction
        key = self._task.near_key(features, own.output) if self._near is not None else None
        key = None if key is None or key.size > MAX_VALUES else key
        result = replace(result, input_digest=digest, near_key=None if key is None else encode_key(key))
        equal = self.recall(version, digest)
        recalled = (*equal, None) if equal is not None else self.recall_near(version, digest, key, own.output)
        if recalled is None or recalled[0].label == canonical_json(as_correction(self._task, own.output)):
            return result
        correction, confidence, distance = recalled
        memory = MemoryAnswer(
            corrected=correction.prediction_id,
            outcome=correction.outcome_id,
            output=own.output,
            confidence=own.confidence,
            propensity=own.propensity,
            near_distance=distance,
        )
        output = json.loads(correction.label or "")
        return replace(result, prediction=Decoded(output, confidence, propensity=1.0), memory=memory)


def _age(label: RememberedLabel) -> tuple[datetime, str]:
    return label.time, label.outcome_id
