from pathlib import Path

import pytest

from app.retraining.pipeline.run_directory import run_directory
from app.settings import Settings


def test_a_run_has_a_directory_of_its_own(tmp_path: Path) -> None:
    assert run_directory(Settings(home=tmp_path), "run-1") == tmp_path / "runs" / "run-1"


@pytest.mark.parametrize("run_id", ["../../escaped-run", "..", ".", "", "/tmp/escaped-run", "a/b"])
def test_a_run_id_outside_the_runs_directory_is_refused(tmp_path: Path, run_id: str) -> None:
    with pytest.raises(ValueError, match="is not a valid run id"):
        run_directory(Settings(home=tmp_path), run_id)
