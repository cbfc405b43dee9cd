"""The id of each prediction's last outcome, so that an unchanged outcome is not published again.

It is a cache. If it is lost, as at the end of every worker, outcomes that are in the log are published again, under the
same ids. Nothing else may depend on it. It holds ids only: after its partitions were assigned to another worker, an
entry may be outdated, and an outdated id matches no outcome.

It is not one of the app's tables, because these have changelog topics. While such a topic is away, Faust's commits wait
until the producer gives up its writes, 30 s each. And with a changelog a killed worker took about twice as long to
resume, because it first recovered entries that it does not need.
"""

import faust

from app.streams.faust_app import App

MAX_PREDICTIONS = 100_000
"""Limit of predictions in the table of one worker; the oldest are removed first."""


class LastOutcomes(faust.Table[bytes, bytes]):
    """Prediction id -> outcome id, in memory only."""

    def __init__(self, app: App, max_predictions: int = MAX_PREDICTIONS) -> None:
        super().__init__(app, name="last-outcomes")
        self._max_predictions = max_predictions

    def on_key_set(self, key: bytes, value: bytes) -> None:
        """Remove the oldest entries at the limit. Write no changelog."""
        if key not in self:
            while len(self) >= self._max_predictions:
                del self[next(iter(self))]

    def on_key_del(self, key: bytes) -> None:
        """Write no changelog."""
