"""Bias what a CTC network reads towards known symbols and known words, without training. Only numpy.

A prior over symbols replaces the one of the network's training data (Saerens et al., "Adjusting the outputs of a
classifier to new a priori probabilities", Neural Computation, 2002). A lexicon makes each known word in a text more
probable, in a prefix beam search (Hannun et al., "First-pass large vocabulary continuous speech recognition using
bi-directional recurrent DNNs", 2014, algorithm 1, with word bonuses in place of a language model).
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from models.nn.ctc import Floats, Ints

BEAM = 16
Labels = tuple[int, ...]


def with_prior(classes: Ints, log_probs: Floats, odds: Mapping[int, float], default: float = 1.0) -> Floats:
    """Return log probabilities after each symbol's is multiplied by its odds, normalised for each frame.

    `classes` (frames, k) are the frames' classes, `log_probs` (frames, k) theirs. Symbols that `odds` does not name
    have `default`; the blank, class 0, keeps 1.
    """
    named = {0: 1.0, **odds}
    unique, places = np.unique(classes, return_inverse=True)
    factors = np.array([named.get(one, default) for one in unique.tolist()])
    with np.errstate(divide="ignore"):
        biased = log_probs + np.log(factors)[places].reshape(classes.shape)
    return np.asarray(biased - np.logaddexp.reduce(biased, axis=-1, keepdims=True))


@dataclass(frozen=True)
class Lexicon:
    """Words as labels, between spaces, and by how much, in nats, a text becomes more probable with each of them."""

    words: Collection[Labels]
    bonus: float
    space: int

    def gain(self, labels: Labels, complete: bool) -> float:
        """Return the bonuses of the known words in labels; the last word counts if the text is `complete`."""
        words: list[Labels] = []
        start = 0
        for place, label in enumerate(labels):
            if label == self.space:
                words.append(labels[start:place])
                start = place + 1
        if complete:
            words.append(labels[start:])
        return self.bonus * sum(word in self.words for word in words)


def most_probable(classes: Ints, log_probs: Floats, lexicon: Lexicon, beam: int = BEAM) -> list[int]:
    """Return the labels with the highest probability times bonuses among `beam` prefixes, of one line.

    `classes` and `log_probs` are as in `with_prior`; a text's probability is the sum over all its paths in the beam.
    """
    beams: dict[Labels, tuple[float, float]] = {(): (0.0, -np.inf)}  # log probability of ending in a blank, or not
    gains: dict[Labels, float] = {(): 0.0}
    for frame, frame_log_probs in zip(classes.tolist(), log_probs.tolist(), strict=True):
        following: dict[Labels, list[float]] = defaultdict(lambda: [-np.inf, -np.inf])
        for prefix, (blank, symbol) in beams.items():
            total = float(np.logaddexp(blank, symbol))
            for label, log_prob in zip(frame, frame_log_probs, strict=True):
                if label == 0:
                    _add(following[prefix], 0, total + log_prob)
                    continue
                repeated = prefix[-1:] == (label,)
                if repeated:
                    _add(following[prefix], 1, symbol + log_prob)
                _add(following[*prefix, label], 1, (blank if repeated else total) + log_prob)
        scored = []
        for prefix, (blank, symbol) in following.items():
            if prefix not in gains:
                gains[prefix] = lexicon.gain(prefix, complete=False)
            scored.append((np.logaddexp(blank, symbol) + gains[prefix], prefix))
        beams = {prefix: (following[prefix][0], following[prefix][1]) for _, prefix in sorted(scored)[-beam:]}
    best = max(beams, key=lambda prefix: (np.logaddexp(*beams[prefix]) + lexicon.gain(prefix, complete=True), prefix))
    return list(best)


def _add(sums: list[float], place: int, log_prob: float) -> None:
    sums[place] = float(np.logaddexp(sums[place], log_prob))
