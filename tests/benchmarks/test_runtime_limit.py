"""The limit is taken over every line, grouped as the platform groups them."""

from benchmarks.runtime_limit import make_batches
from models.ocr import Ocr
from models.ocr.data.lines import make_payloads


def test_batches_hold_each_line_once_and_only_lines_of_one_padded_width() -> None:
    task = Ocr()
    features = [task.preprocess(sample.payload) for sample in make_payloads(30, 1)]
    made = make_batches(task, features, 4)
    assert sum(len(batch["width"]) for batch, _ in made) == 30
    assert max(len(batch["width"]) for batch, _ in made) <= 4
    widths = sorted(int(width) for batch, _ in made for width in batch["width"])
    assert widths == sorted(one["image"].shape[1] for one in features)
    for batch, asked in made:
        assert [int(one.features["width"]) for one in asked] == batch["width"].tolist()
        shapes = [task.padded({"image": (24, int(width)), "width": ()})["image"] for width in batch["width"]]
        assert set(shapes) == {batch["image"].shape[1:]}
