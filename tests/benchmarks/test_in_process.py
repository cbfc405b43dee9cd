"""Speed is measured on every line, grouped as on the platform."""

from benchmarks.in_process import make_batches, preprocess_all
from models.small.ocr import Ocr
from models.small.ocr.data.lines import make_payloads


def test_batches_hold_each_line_once_and_only_lines_of_one_padded_width() -> None:
    task = Ocr()
    features = preprocess_all(task, [sample.payload for sample in make_payloads(30, 1)])
    batches = make_batches(task, features, 4)
    assert sorted(number for batch in batches for number in batch.numbers) == list(range(30))
    assert max(len(batch.numbers) for batch in batches) <= 4
    for batch in batches:
        widths = [features[number]["image"].shape[1] for number in batch.numbers]
        assert batch.inputs["width"].tolist() == widths
        assert [int(event.features["width"]) for event in batch.asked] == widths
        shapes = {task.padded({"image": (24, width), "width": ()})["image"] for width in widths}
        assert shapes == {batch.inputs["image"].shape[1:]}
