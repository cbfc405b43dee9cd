"""Mean average precision, recall and precision of boxes that are served, with intervals by bootstrap over pictures."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator

from models.base import EvaluatedSample
from models.object_detection.scoring import hits

RESAMPLES = 1_000
NAMES = ("mAP", "recall", "precision")


class Judged(NamedTuple):
    """A picture's boxes as (label, score, whether it found an object), and the labels of its objects."""

    group: str
    boxes: list[tuple[str, float, bool]]
    objects: list[str]


def judged(evaluated: EvaluatedSample) -> Judged:
    """Judge the boxes that count; a correction may say which labels and regions don't, beside its boxes."""
    found, truth = evaluated.decoded.output["boxes"], evaluated.sample.correction
    hit = hits(found, truth["boxes"])
    labels = {box["label"] for box in truth["boxes"]}
    boxes = [
        (box["label"], box["score"], bool(right))
        for box, right in zip(found, hit, strict=True)
        if right or not _is_unsure(box, truth, labels)
    ]
    return Judged(evaluated.sample.group, boxes, [box["label"] for box in truth["boxes"]])


def _is_unsure(box: Mapping[str, Any], truth: Mapping[str, Any], labels: set[str]) -> bool:
    if box["label"] in truth.get("unsure labels", ()) and box["label"] not in labels:
        return True
    left, top, right, bottom = box["box"]
    for region in truth.get("unsure regions", ()):
        wide = max(0.0, min(right, region[2]) - max(left, region[0]))
        high = max(0.0, min(bottom, region[3]) - max(top, region[1]))
        if wide * high > 0.5 * (right - left) * (bottom - top):
            return True
    return False


def figures(pictures: Sequence[Judged]) -> tuple[float, float, float]:
    """Return mAP at intersection over union 0.5 over the classes that have objects, recall, and precision."""
    found: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    objects: dict[str, int] = defaultdict(int)
    for picture in pictures:
        for label, score, right in picture.boxes:
            found[label].append((score, right))
        for label in picture.objects:
            objects[label] += 1
    hit, served = sum(one for scored in found.values() for _, one in scored), sum(map(len, found.values()))
    precisions = [_average_precision(found[label], count) for label, count in objects.items()]
    return float(np.mean(precisions)), hit / max(1, sum(objects.values())), hit / max(1, served)


def _average_precision(scored: Sequence[tuple[float, bool]], objects: int) -> float:
    right = np.array([one for _, one in sorted(scored, key=lambda one: -one[0])], bool)
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best[right].sum() / objects)


def intervals(
    before: Sequence[Judged], after: Sequence[Judged], rng: Generator
) -> list[tuple[tuple[float, float], tuple[float, float], tuple[float, float]]]:
    """Return the 95 % intervals of each figure: before, after, and of the difference; pictures of a group together."""
    groups: dict[str, list[int]] = defaultdict(list)
    for place, picture in enumerate(before):
        groups[picture.group].append(place)
    members, draws = list(groups.values()), list[Any]()
    for _ in range(RESAMPLES):
        drawn = [place for group in rng.integers(len(members), size=len(members)) for place in members[group]]
        old, new = (np.array(figures([pictures[place] for place in drawn])) for pictures in (before, after))
        draws.append((old, new, new - old))
    low, high = np.percentile(np.array(draws), [2.5, 97.5], axis=0)
    return [
        tuple((float(low[kind, figure]), float(high[kind, figure])) for kind in range(3))  # type: ignore[misc]
        for figure in range(len(NAMES))
    ]
