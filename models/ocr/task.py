"""The `ocr` task: from a picture, a PDF or a TIFF of several pages to its lines of text, with their places."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from models.base import Asked, Decoded, EvaluatedSample, Features, Sample, Shapes, Task
from models.input_statistics import of_tensors
from models.nn.ctc_policy import joint_probabilities
from models.nn.exploration import checked_share
from models.ocr import near, samples
from models.ocr.corrections import canonical, errors
from models.ocr.lines import ServedLine, displayed_polygons, serve_lines
from models.ocr.metrics import figures
from models.ocr.pages import read_pages
from models.ocr.reading_order import reading_order

_LEAST_PIXELS = 4_096
"""Small pictures are padded to this number of pixels, or to it times a power of two, so that they share a batch."""
_LARGE_PIXELS = 1 << 20
_CONFIDENCE_WITHOUT_TEXT = 0.1
"""That there was nothing to read is seldom why a picture was sent."""


class Ocr(Task):
    """Reads the pages of a file, and pictures of single lines.

    Features: `pixels` uint8 (pixels,), the grey levels of all pages one after the other; `sizes` int32 (pages, 2),
    their heights and widths; `displayed` float32 (pages, 2), the height and width at which applications display each,
    a picture's in pixels, a PDF's in points; `pages` int32 (), how many the file has. The model's inputs are the first
    two; its outputs are described at `models.ocr.runtime.PageReader`.
    """

    name: ClassVar[str] = "ocr"
    preprocess_version: ClassVar[str] = "2"
    error_name: ClassVar[str] = "CER"
    trainer: ClassVar[str | None] = "models.ocr.train:train"
    off_policy_evaluator: ClassVar[str | None] = "models.ocr.off_policy:evaluate_versions"
    near_bound: ClassVar[int] = near.BOUND
    max_payload_bytes: ClassVar[int] = 8 * 1024 * 1024

    def __init__(self, explore: float = 0.0) -> None:
        """Draw each line of the share `explore` of them from the network's distribution, to learn from rewards.

        Raises `ValueError` for an invalid share.
        """
        self.explore = checked_share(explore)

    def preprocess(self, payload: bytes) -> Features:
        """Return the pages' grey levels. Raises `Rejected`."""
        pages, count = read_pages(payload)
        return {
            "pixels": np.concatenate([page.grey.ravel() for page in pages]),
            "sizes": np.array([page.grey.shape for page in pages], np.int32),
            "displayed": np.array([page.displayed[::-1] for page in pages], np.float32),
            "pages": np.array(count, np.int32),
        }

    def inputs(self, features: Features) -> Features:
        """Return pixels and sizes."""
        return {name: features[name] for name in ("pixels", "sizes")}

    def padded(self, shapes: Shapes) -> Shapes:
        """Round pixels up to a power of two, or those of pages to the next million; pages up to a power of two."""
        [pixels], (pages, _) = shapes["pixels"], shapes["sizes"]
        step = max(_LEAST_PIXELS, min(_LARGE_PIXELS, 1 << (pixels - 1).bit_length()))
        return {"pixels": (-(-pixels // step) * step,), "sizes": (1 << (pages - 1).bit_length(), 2)}

    def summary(self, features: Features) -> dict[str, float]:
        """Return the pages' number, mean height and width, and the mean and deviation of their levels."""
        height, width = features["sizes"].mean(axis=0).tolist()
        numbers = of_tensors({"pixels": features["pixels"]})
        return {**numbers, "pages": float(features["pages"]), "height": height, "width": width}

    def decode(self, outputs: Mapping[str, NDArray[Any]], asked: Sequence[Asked]) -> list[Decoded]:
        """Return each file's lines in the order of reading, and their joined text.

        A line's confidence is the probability that all of it is right, that of the whole the mean of its lines'. The
        propensity is exact, see `models.nn.ctc_policy`: a line is drawn or not for itself.
        """
        return [
            self._decoded({name: output[row] for name, output in outputs.items()}, event)
            for row, event in enumerate(asked)
        ]

    def _decoded(self, outputs: Mapping[str, NDArray[Any]], event: Asked) -> Decoded:
        count = np.count_nonzero(outputs["frames"])
        outputs = {name: output[:count] for name, output in outputs.items()}  # the batch's others may have more lines
        frames, pages = outputs["frames"], outputs["pages"]
        rng = event.rng() if self.explore else None
        served = list(serve_lines(outputs["symbols"], outputs["probabilities"], frames, self.explore, rng))
        polygons = displayed_polygons(outputs["polygons"], pages, event.features)
        lines, texts = list[dict[str, Any]](), list[str]()
        for page in range(len(event.features["sizes"])):
            places = [place for place in np.flatnonzero(pages == page).tolist() if served[place].text]
            rows = [[places[number] for number in row] for row in reading_order(outputs["polygons"][places])]
            lines += [_line(served[place], polygons[place], page) for row in rows for place in row]
            texts.append("\n".join(" ".join(served[place].text for place in row) for row in rows))
        output: dict[str, Any] = {"text": "\n\n".join(text for text in texts if text), "lines": lines}
        if unread := int(event.features["pages"]) - len(texts):
            output["unread_pages"] = unread
        confidence = float(np.mean([line["confidence"] for line in lines])) if lines else _CONFIDENCE_WITHOUT_TEXT
        return Decoded(output, confidence, float(joint_probabilities([line.served for line in served])[1]))

    def near_key(self, features: Features, output: Mapping[str, Any]) -> NDArray[np.uint8] | None:
        """Return the key of a picture of one line; None for others."""
        if len(features["sizes"]) != 1:
            return None
        height, width = features["sizes"][0].tolist()
        return near.near_key(features["pixels"].reshape(height, width), float(features["displayed"][0, 0]), output)

    def validate_correction(self, correction: Mapping[str, Any]) -> dict[str, Any]:
        """Return `{"text": ...}`, and the lines if it names any, see `models.ocr.corrections`. Raises `Rejected`."""
        return canonical(correction)

    def score(self, output: Mapping[str, Any], correction: Mapping[str, Any]) -> float:
        """Return 1 - character error rate, at least 0: of the whole text, or of the lines that a correction numbers."""
        edits, symbols = errors(output, correction)
        return max(0.0, 1.0 - edits / max(1, symbols))

    def samples(self) -> Sequence[Sample]:
        """Return real files: pages, and lines of digit scans and of print."""
        return samples.shipped()

    def demonstration(self, seed: int) -> Iterator[Sample]:
        """Yield the shipped pages, then lines, with a page among every 50: a page takes as long as 50 lines."""
        return samples.stream(seed)

    def drifted(self, seed: int) -> Iterator[Sample]:
        """Yield lines of held-out digit scans, which the network reads worse than print."""
        return samples.digit_lines(seed)

    def held_out(self) -> Iterator[Sample]:
        """Yield pages and lines rendered in fonts of the `train` group, and lines of digit scans."""
        from models.ocr.held_out import held_out  # only here: serving needs no fonts

        return held_out()

    def figures(self, judged: Sequence[EvaluatedSample]) -> dict[str, float]:
        """Return character error rate, its interval, and size of each group, and the calibration error of lines."""
        return figures(judged)


def _line(line: ServedLine, polygon: list[list[float]], page: int) -> dict[str, Any]:
    confidence = round(line.served.probability, 4)
    return {"text": line.text, "polygon": polygon, "confidence": confidence, "page": page}
