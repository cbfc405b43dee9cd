"""From a task's features to the inputs of a foreign model: type, layout, normalisation.

Features are small, because they travel through Kafka: a picture has bytes, a recording 16-bit samples.
"""

from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from models.foreign.options import Dtypes, Option, Tensors
from models.runtimes import TensorSpec


class ImageInput(Option):
    """A picture, uint8 (height, width, channels). The model gets (picture * scale - mean) / std."""

    kind: Literal["image"] = "image"
    name: str
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    channels: Literal["RGB", "BGR", "grey"] = "RGB"
    height: int | None = None
    width: int | None = Field(None, description="None for pictures of any width.")
    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def specs(self) -> dict[str, TensorSpec]:
        """Return the tensor that the runtime takes."""
        depth = 1 if self.channels == "grey" else 3
        return {"image": TensorSpec(np.dtype(np.uint8), (None, self.height, self.width, depth))}

    def feeds(self, features: Tensors, dtypes: Dtypes) -> Tensors:
        """Return the model's input for a batch."""
        picture = features["image"]
        if self.channels == "BGR":
            picture = picture[..., ::-1]
        if (self.scale, {*self.mean}, {*self.std}) != (1.0, {0.0}, {1.0}):
            mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
            picture = (picture * np.float32(self.scale) - mean) / std
        if self.layout == "NCHW":
            picture = picture.transpose(0, 3, 1, 2)
        return {self.name: np.ascontiguousarray(picture, dtypes[self.name])}


class SamplesInput(Option):
    """A recording at 16 kHz, int16 (samples,). The model gets values between -1 and 1."""

    kind: Literal["samples"] = "samples"
    name: str
    standardised: bool = Field(False, description="Each recording is brought to mean 0 and variance 1 (wav2vec 2.0).")

    def specs(self) -> dict[str, TensorSpec]:
        """Return the tensor that the runtime takes."""
        return {"samples": TensorSpec(np.dtype(np.int16), (None, None))}

    def feeds(self, features: Tensors, dtypes: Dtypes) -> Tensors:
        """Return the model's input for a batch."""
        samples = features["samples"].astype(np.float32) / np.float32(32768)
        if self.standardised:
            deviation = samples.std(axis=1, keepdims=True)
            samples = (samples - samples.mean(axis=1, keepdims=True)) / np.sqrt(deviation**2 + np.float32(1e-7))
        return {self.name: samples.astype(dtypes[self.name])}


class NumbersInput(Option):
    """A vector of numbers, float64 (columns,). The model takes it whole, or each column by itself."""

    kind: Literal["numbers"] = "numbers"
    names: tuple[str, ...] = Field(min_length=1, description="One input of all columns, or one of each column.")
    columns: tuple[str, ...] = Field(min_length=1, description="What the columns are called in a request.")

    def specs(self) -> dict[str, TensorSpec]:
        """Return the tensor that the runtime takes."""
        return {"numbers": TensorSpec(np.dtype(np.float64), (None, len(self.columns)))}

    def feeds(self, features: Tensors, dtypes: Dtypes) -> Tensors:
        """Return the model's inputs for a batch."""
        numbers = features["numbers"]
        if len(self.names) == 1:
            return {self.names[0]: numbers.astype(dtypes[self.names[0]])}
        return {name: numbers[:, [place]].astype(dtypes[name]) for place, name in enumerate(self.names)}


class ConstantInput(Option):
    """An input that is the same for all events, such as a mask of ones."""

    name: str
    shape: tuple[int, ...] = Field(description="Without the batch.")
    values: tuple[float, ...] = Field(description="One for all elements, or one for each of the last axis.")

    def feed(self, batch: int, dtypes: Dtypes) -> NDArray[Any]:
        """Return the input for a batch of so many events."""
        return np.broadcast_to(np.array(self.values, dtypes[self.name]), (batch, *self.shape)).copy()


ModelInput = Annotated[ImageInput | SamplesInput | NumbersInput, Field(discriminator="kind")]
