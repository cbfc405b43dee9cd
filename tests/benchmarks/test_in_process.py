"""Speed is measured on every line, grouped as on the platform."""

from benchmarks.in_process import make_batches
from models.ocr import Ocr
from models.ocr.data.lines import make_payloads


def test_batches_hold_each_line_once_and_only_lines_of_one_padded_width() -> None:
    task = Ocr()
    features = [task.preprocess(sample.payload) for sample in make_payloads(30, 1)]
    batches = make_batches(task, features, 4)
    assert sum(len(batch["width"]) for batch, _ in batches) == 30
    assert max(len(batch["width"]) for batch, _ in batches) <= 4
    widths = sorted(int(width) for batch, _ in batches for width in batch["width"])
    assert widths == sorted(line["image"].shape[1] for line in features)
    for batch, events in batches:
        assert [int(event.features["width"]) for event in events] == batch["width"].tolist()
        shapes = [task.padded({"image": (24, int(width)), "width": ()})["image"] for width in batch["width"]]
        assert set(shapes) == {batch["image"].shape[1:]}
