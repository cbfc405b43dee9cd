"""A version, another that it is compared with, and the rows of a dataset that neither learned from."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.errors import SetupError
from app.evaluation.unseen_rows import Unseen, unseen_by, unseen_rows
from app.registry.artifacts import version_path
from app.settings import Settings
from app.tasks import load_task
from models.base import Task


@dataclass(frozen=True)
class VersionPair:
    """Two versions of a task, and a dataset to compare them on."""

    task: Task
    dataset: Path
    version: str
    against: str
    paths: tuple[Path, Path]
    """Their `model.onnx`."""
    unseen: tuple[Unseen, Unseen]

    @classmethod
    def of(
        cls, settings: Settings, task_name: str, dataset: Path, version: str | None, against: str | None
    ) -> "VersionPair":
        """Return the pair; None is the newest shipped version. Raises `SetupError`."""
        task = load_task(settings, task_name)
        number, path = version_path(settings, task, version)
        other, other_path = version_path(settings, task, against)
        if not dataset.is_dir():
            raise SetupError(
                f"There is no dataset {dataset}.", f"Make one: hindsight replay {task_name} --out {dataset}"
            )
        unseen = unseen_by(settings, task, number), unseen_by(settings, task, other)
        return cls(task, dataset, number, other, (path, other_path), unseen)

    @contextmanager
    def held_out(self) -> Iterator[Path]:
        """Yield a dataset of the rows that neither learned from. Raises `Untrainable`."""
        with unseen_rows(self.dataset, self.unseen) as path:
            yield path

    @property
    def rows_used(self) -> str:
        """Say which rows these are."""
        return "; ".join(dict.fromkeys(map(str, self.unseen)))

    @property
    def split(self) -> str:
        """`test` if all of them are of that split, otherwise `any`."""
        return "test" if any(unseen.since is None for unseen in self.unseen) else "any"
