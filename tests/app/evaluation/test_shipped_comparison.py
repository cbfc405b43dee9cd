"""A model under trial is compared with the shipped version by its answers to the same samples."""

from pathlib import Path

import numpy as np
import pytest

from app.errors import SetupError
from app.evaluation.model_trial import try_model
from app.evaluation.shipped_comparison import TrialResult, describe_trial
from app.settings import CHECKOUT
from models.decision import Decision
from models.small.ocr import Ocr
from tests.support.model_mutations import edit_output, fill_weights, write_mutant

OCR = CHECKOUT / "models/small/ocr/versions/1/model.onnx"
DECISION = CHECKOUT / "models/decision/versions/1/model.onnx"


async def test_a_model_that_is_always_wrong_is_refused(tmp_path: Path) -> None:
    mutant = write_mutant(tmp_path, DECISION, edit_output("Neg"))
    with pytest.raises(SetupError, match=r"All 22 samples are answered wrongly: the mean score is 0") as refused:
        await try_model(Decision(), mutant, 4)
    assert "order of its classes" in refused.value.remedy


async def test_a_model_that_answers_every_sample_alike_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"All [0-9]+ samples have the same answer: ") as refused:
        await try_model(Ocr(), write_mutant(tmp_path, OCR, fill_weights(0.0)), 4)
    assert "weights are those of the training" in refused.value.remedy


async def test_a_model_with_another_number_of_classes_is_refused(tmp_path: Path) -> None:
    one_more = edit_output("Pad", np.array([0, 0, 0, 0, 0, 1], np.int64), np.array(-100, np.float32))
    with pytest.raises(SetupError, match="last dimension of the output log_probs has the size 65; needed is 64"):
        await try_model(Ocr(), write_mutant(tmp_path, OCR, one_more), 4)


def test_a_trial_is_described_with_both_scores() -> None:
    assert describe_trial(TrialResult(8, 0.25, 0.5)).endswith("mean score 0.250, that of the shipped version 0.500.")
    assert describe_trial(TrialResult(8, 0.25, None)).endswith("mean score 0.250.")
