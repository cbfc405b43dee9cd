"""The demonstration sends pictures as a camera makes them: each is read like the shipped one, and none twice."""

from itertools import islice

from models.ocr.pages import read_pages
from models.ocr.samples import shipped, stream


def test_no_two_lines_have_the_same_bytes_and_each_looks_like_a_shipped_one() -> None:
    taken = list(islice(stream(0), 1, 41))
    assert len({sample.payload for sample in taken}) == len(taken)
    originals = {sample.name: sample for sample in shipped()}
    for sample in taken:
        [page], _ = read_pages(sample.payload)
        [original], _ = read_pages(originals[sample.name].payload)
        assert abs(page.grey.astype(int) - original.grey.astype(int)).max() <= 2
        assert sample.correction == originals[sample.name].correction
