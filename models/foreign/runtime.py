"""The runtime of a foreign model: one ONNX file, and what it needs before and after it, as the manifest says."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from models.foreign.detection_head import DetectionHead
from models.foreign.heads import ActionsHead, ClassificationHead, CtcHead
from models.foreign.inputs import ConstantInput, ModelInput
from models.foreign.options import Option, Tensors
from models.manifest import VersionFiles
from models.runtimes import Execution, Runtime
from models.runtimes.onnx import specs

RUNTIME = f"{__name__}:ForeignModel"
ModelHead = Annotated[ClassificationHead | CtcHead | DetectionHead | ActionsHead, Field(discriminator="kind")]


class ForeignOptions(Option):
    """The `options` of a foreign model's manifest."""

    input: ModelInput
    constants: tuple[ConstantInput, ...] = ()
    head: ModelHead
    one_by_one: bool = Field(False, description="The model takes one event at a time.")


class ForeignModel(Runtime):
    """One ONNX file that takes and gives what it likes; features and outputs are those of `inputs` and `heads`."""

    def __init__(self, files: VersionFiles, execution: Execution) -> None:
        """Open the first file. Raises `ValueError` for options or types that don't fit."""
        try:
            self._options = ForeignOptions.model_validate(files.manifest.options)
        except ValidationError as error:
            raise ValueError(f"the options of {RUNTIME} are not valid: {error}") from error
        self._session = execution.open(files.path(next(iter(files.manifest.files))))
        self._dtypes = {name: spec.dtype for name, spec in specs(self._session.get_inputs()).items()}
        self._names = self._options.head.names()
        if missing := {*self._names} - {tensor.name for tensor in self._session.get_outputs()}:
            raise ValueError(f"the model has no output {', '.join(sorted(missing))}")
        self.inputs, self.outputs = self._options.input.specs(), self._options.head.outputs

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> Tensors:
        """Return the head's tensors for a batch."""
        if not self._options.one_by_one:
            return self._run(dict(feeds))
        count = len(next(iter(feeds.values())))
        return stacked([self._run({name: feed[[row]] for name, feed in feeds.items()}) for row in range(count)])

    def _run(self, features: Tensors) -> Tensors:
        size = features["image"].shape[1:3] if "image" in features else (0, 0)
        batch = len(next(iter(features.values())))
        feeds = self._options.input.feeds(features, self._dtypes)
        feeds |= {constant.name: constant.feed(batch, self._dtypes) for constant in self._options.constants}
        raw = dict(zip(self._names, self._session.run(self._names, feeds), strict=True))
        return self._options.head.read(raw, size)


def stacked(parts: Sequence[Tensors]) -> Tensors:
    """Return the tensors of several batches as one batch, padded with zeros to the largest."""
    together = {}
    for name in parts[0]:
        tensors = [part[name] for part in parts]
        shape = np.max([tensor.shape[1:] for tensor in tensors], axis=0, initial=0) if tensors[0].ndim > 1 else []
        whole = np.zeros((sum(map(len, tensors)), *map(int, shape)), tensors[0].dtype)
        row = 0
        for tensor in tensors:
            whole[(slice(row, row + len(tensor)), *map(slice, tensor.shape[1:]))] = tensor
            row += len(tensor)
        together[name] = whole
    return together
