"""What all tasks of foreign models share: the classes and samples that lie in their folder."""

import inspect
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from models.base import Sample, Task
from models.manifest import MANIFEST, Manifest

SAMPLES = "samples/samples.json"


class ForeignTask(Task):
    """A task whose folder has `versions/1/manifest.json`, with the `labels` of the classes, and `samples/`."""

    @classmethod
    def class_names(cls) -> tuple[str, ...]:
        """Return the names of the classes, in the order of the model's outputs."""
        return _labels(_folder(cls) / "versions" / "1" / MANIFEST)

    def samples(self) -> Sequence[Sample]:
        """Return the files in `samples/`, with what `samples.json` says is right."""
        path = _folder(type(self)) / SAMPLES
        return [
            Sample(
                entry["name"], (path.parent / entry["name"]).read_bytes(), entry["content_type"], entry["correction"]
            )
            for entry in json.loads(path.read_text())
        ]


def _folder(task: type[Task]) -> Path:
    return Path(inspect.getfile(task)).parent


@cache
def _labels(path: Path) -> tuple[str, ...]:
    return Manifest.parse(path.read_bytes()).labels
