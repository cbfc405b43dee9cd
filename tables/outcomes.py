"""The id of each prediction's last outcome, so that what was published already needn't be published again.

A cache: when it is lost, as it is with every worker that ends, outcomes are published that are in the log already,
under the same ids. Nothing else may depend on it. It holds no more than an id: what a worker has noted may be out of
date once its partitions were another's for a while, and an id that is out of date matches nothing.

It is not among the app's tables, for these have changelog topics. While such a topic is away, Faust's commits wait for
the producer to give up what it can't write there, 30 s each; and with one, a killed worker took about twice as long to
go on, as it first recovers what it can do without.
"""

import faust

from app.streams.faust_app import App

MAX_PREDICTIONS = 100_000
"""Predictions in the table of one worker; the oldest go first."""


class LastOutcomes(faust.Table[bytes, bytes]):
    """Prediction id to outcome id, in memory only."""

    def __init__(self, app: App, max_predictions: int = MAX_PREDICTIONS) -> None:
        super().__init__(app, name="last-outcomes")
        self._max_predictions = max_predictions

    def on_key_set(self, key: bytes, value: bytes) -> None:
        """Make room; there is no changelog to write to."""
        if key not in self:
            while len(self) >= self._max_predictions:
                del self[next(iter(self))]

    def on_key_del(self, key: bytes) -> None:
        """There is no changelog to write to."""
