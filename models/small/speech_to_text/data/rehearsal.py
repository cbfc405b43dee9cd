"""`python -m models.small.speech_to_text.data.rehearsal`: the first training's recordings, to rehearse.

One of each phrase, of those that the shipped version was fitted to and chosen by. They ship, so that retraining
needs no espeak-ng.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models.nn.ctc import LabelledSignal
from models.small.speech_to_text.data.generation import TAKES, make_utterances
from models.small.speech_to_text.data.voices import Split
from models.small.speech_to_text.mel import MELS

FILE = Path(__file__).with_suffix(".parquet")
SEED = 0
COUNTS: dict[Split, int] = {"train": 1_000, "validation": 250}


def rehearsal(split: Split) -> list[LabelledSignal]:
    """Return the split's recordings, in the order in which they were made."""
    rows = pq.read_table(FILE, filters=[("split", "=", split)]).to_pylist()
    return [LabelledSignal(np.frombuffer(row["mels"], np.uint8).reshape(MELS, -1), row["text"]) for row in rows]


def write(file: Path) -> None:
    """Make the recordings and write them to a file. Raises `Untrainable`."""
    rows = [
        {"split": split, "text": utterance.text, "mels": utterance.signal.tobytes()}
        for split, count in COUNTS.items()
        for utterance in make_utterances(split, count * TAKES, SEED)[::TAKES]
    ]
    pq.write_table(pa.Table.from_pylist(rows), file, compression="zstd", compression_level=19)


if __name__ == "__main__":
    write(FILE)
