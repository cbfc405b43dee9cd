from pathlib import Path

import pytest

from models import training_command
from models.base import OnStep, Trained, Untrainable


def test_a_dataset_that_teaches_nothing_is_no_usage_error(tmp_path: Path) -> None:
    def fit(on_step: OnStep) -> Trained:
        raise Untrainable("the dataset has no labels")

    with pytest.raises(SystemExit) as ended:
        training_command.run("models.mine.train", fit, tmp_path / "2", {})
    assert ended.value.code == "error: the dataset has no labels"  # the interpreter prints it, and ends with 1
