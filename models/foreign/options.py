"""The base of what a foreign model's manifest says in `options`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

Tensors = dict[str, NDArray[Any]]
Dtypes = dict[str, np.dtype[Any]]


class Option(BaseModel):
    """Options that are no others: a misspelt one is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")
