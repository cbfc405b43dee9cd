from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from app.cli import cli
from app.inference import batch
from app.preprocess.files import path_of
from app.settings import CHECKOUT, Settings

SAMPLES = CHECKOUT / "models/small/ocr/samples"


@pytest.mark.parametrize(("failed", "code"), [(0, 0), (1, 1)])
def test_a_batch_with_failures_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, failed: int, code: int
) -> None:
    def run_batch(*arguments: Any, left_out: Any, **options: Any) -> dict[str, int]:
        left_out(Path("labels.csv"))
        return {"predicted": 3, "failed": failed}

    monkeypatch.setattr(batch, "run_batch", run_batch)
    result = CliRunner().invoke(cli, ["batch", "ocr", "scans", "--out", "set.parquet"])
    assert (result.exit_code, result.stdout) == (code, f"set.parquet: 3 predicted, {failed} failed\n")
    assert "left out 1 of another kind; name them to predict them: labels.csv" in result.stderr


def test_of_the_shipped_samples_only_pictures_are_payloads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    predicted: list[str] = []

    class Recorded:
        def __init__(self, settings: Settings, task: str, uris: list[str], log: bool) -> None:
            predicted.extend(uris)

        async def write(self, path: Path, progress: Any) -> dict[str, int]:
            path.touch()  # noqa: ASYNC240
            return {"predicted": len(predicted), "failed": 0}

    monkeypatch.setattr(batch, "BatchPrediction", Recorded)
    left_out: list[Path] = []
    batch.run_batch(
        Settings(home=tmp_path),
        "ocr",
        [str(SAMPLES)],
        tmp_path / "out.parquet",
        progress=lambda done, total: None,
        left_out=left_out.append,
    )
    assert {path_of(uri).suffix for uri in predicted} == {".png", ".jpg"}
    assert {path.name for path in left_out} == {"samples.json", "held_out_digits.npz"}
