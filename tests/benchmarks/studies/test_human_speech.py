"""The study of human recordings: from a folder to its table."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.studies import human_speech
from benchmarks.studies.human_speech import Heard, word_error_rate
from models.speech_to_text.recordings import HELD_OUT


def test_the_rate_is_of_all_words_and_its_interval_of_recordings() -> None:
    rate, low, high = word_error_rate([Heard(10, 0, 3.0, 0.1)] * 9 + [Heard(10, 10, 3.0, 0.1)])
    assert rate == pytest.approx(0.1)
    assert low == 0.0
    assert 0.1 < high < 0.5


def test_each_folder_with_transcripts_is_a_row(tmp_path: Path) -> None:
    import typer

    (tmp_path / "empty").mkdir()
    (tmp_path / "cards").mkdir()
    shutil.copy(HELD_OUT / "cards-001.flac", tmp_path / "cards")
    (tmp_path / "cards" / "transcripts.tsv").write_text("cards-001.flac\tTen of clubs\n")
    app = typer.Typer()
    app.command()(human_speech.main)
    result = CliRunner().invoke(app, [str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert [cell.strip() for cell in result.output.splitlines()[-2].split("│")][1:5] == ["cards", "1", "3", "0.0%"]
    assert "empty" not in result.output
