"""A model is tried before it is registered: it serves all samples of its task, or is refused with a remedy."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from app.errors import SetupError
from app.evaluation.model_trial import try_model
from app.evaluation.shipped_comparison import TrialResult, describe_trial
from app.registry.shipped import shipped_versions
from app.settings import CHECKOUT
from models.base import Sample, Task
from models.decision import Decision
from models.small.object_detection import ObjectDetection
from models.small.ocr import Ocr
from tests.support import model_mutations as mutations
from tests.support.model_mutations import Mutate, edit_output, fill_weights, fix_sizes, rename, write_mutant
from tests.support.tasks import Letters

OCR = CHECKOUT / "models/small/ocr/versions/1/model.onnx"
DECISION = CHECKOUT / "models/decision/versions/1/model.onnx"
LETTERS = CHECKOUT / "tests/support/versions/1/model.onnx"


@pytest.mark.parametrize(("task", "path"), [(Ocr(), OCR), (Decision(), DECISION), (Letters(), LETTERS)])
async def test_a_shipped_model_answers_all_samples(task: Task, path: Path) -> None:
    result = await try_model(task, path, 8)
    assert result.samples >= len(task.samples())
    assert result.score == result.shipped_score
    assert result.score is not None
    assert result.score > 0.5


async def test_a_model_that_answers_is_accepted_with_its_score(tmp_path: Path) -> None:
    result = await try_model(Ocr(), write_mutant(tmp_path, OCR, mutations.add_output), 4)
    assert result.score == result.shipped_score


HARMLESS = {
    "float64": edit_output("Cast", to=TensorProto.DOUBLE, dtype=TensorProto.DOUBLE),
    "another output": mutations.add_output,
}
FAULTY = {
    "batch": fix_sizes(1),
    "NaN": fill_weights(float("nan")),
    "infinity": edit_output("Add", np.array(np.inf, np.float32)),
    "random": edit_output("Dropout", np.array(0.9, np.float32), np.array(True)),
    "batch mean": mutations.normalise_over_batch,
    "another input": mutations.add_input,
    "float16 input": mutations.set_input_type,
    "text": mutations.add_text_output,
    "batch last": edit_output("Transpose"),
    "batch squeezed": edit_output("ReduceSum", np.array([0], np.int64), keepdims=0),
    "IR 99": mutations.set_ir_version,
    "opset 99": mutations.set_opset,
}


@pytest.mark.parametrize("name", HARMLESS | FAULTY)
@pytest.mark.parametrize("task", [Ocr(), Decision(), ObjectDetection()], ids=lambda task: task.name)
async def test_a_mutated_model_is_refused_with_a_remedy_or_answers_as_well_as_before(
    tmp_path: Path, task: Task, name: str
) -> None:
    source = shipped_versions(task)["1"]
    mutant = write_mutant(tmp_path, source, (HARMLESS | FAULTY)[name])
    if name in HARMLESS:
        result = await try_model(task, mutant, 4)
        assert result.score == pytest.approx(result.shipped_score)
    else:
        with pytest.raises(SetupError) as refused:
            await try_model(task, mutant, 4)
        assert refused.value.remedy


@pytest.mark.parametrize(
    ("mutate", "says", "remedy"),
    [
        (fix_sizes(1), "batch of 2 samples: its input image has the fixed size 1", "dynamic"),
        (fix_sizes(None, None, 256), "has the fixed size 256 in dimension 2", "dynamic"),
        (fix_sizes(1, None, 256), "has the fixed size 256 in dimension 2", "dynamic"),
        (fill_weights(float("nan")), "has NaN for the sample", "diverges"),
        (rename("image", "picture"), "can't take", "inputs that take image uint8"),
        (rename("log_probs", "output_0"), "can't be used", "Ocr.decode reads"),
        (mutations.add_text_output, r"output labels is of type tensor\(string\), which can't be sent", "without"),
        (mutations.normalise_over_batch, "depends on the samples that share its batch", "eval"),
        (mutations.set_ir_version, "Unsupported model IR version: 99, max", "ir_version = 10"),
        (mutations.set_opset, "Opset 99", "opset_version"),
    ],
)
async def test_a_model_that_would_fail_requests_is_refused_with_the_remedy(
    tmp_path: Path, mutate: Mutate, says: str, remedy: str
) -> None:
    with pytest.raises(SetupError, match=says) as refused:
        await try_model(Ocr(), write_mutant(tmp_path, OCR, mutate), 4)
    assert remedy in refused.value.remedy


async def test_a_model_whose_predictions_the_task_finds_invalid_is_refused(tmp_path: Path) -> None:
    source = CHECKOUT / "models/small/object_detection/versions/1/model.onnx"
    mutant = write_mutant(tmp_path, source, edit_output("Mul", np.array(1e6, np.float32)))
    with pytest.raises(SetupError, match=r"is not valid: its output is .*0 to 1, or none, is needed"):
        await try_model(ObjectDetection(), mutant, 4)


class Silent(Letters):
    def samples(self) -> Sequence[Sample]:
        return []


async def test_a_task_without_samples_says_that_the_model_was_only_loaded() -> None:
    result = await try_model(Silent(), LETTERS, 4)
    assert result == TrialResult(0, None, None)
    assert "only loaded" in describe_trial(result)
