from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mlserver.types import RequestInput, ResponseOutput, TensorData
from numpy.typing import NDArray

from app.errors import RequestRefused
from app.events.base import ModelRef
from app.inference.mlserver.client import InferenceClient
from app.inference.mlserver.protocol import DATATYPES, DTYPES
from app.inference.mlserver.tensor_codec import extract, inject

shapes = hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3)
arrays = st.sampled_from(list(DTYPES.values())).flatmap(lambda dtype: hnp.arrays(dtype, shapes))


def request_input(array: NDArray[Any], name: str = "x") -> RequestInput:
    return RequestInput(
        name=name, datatype=DATATYPES[array.dtype], shape=list(array.shape), data=TensorData.model_construct(root=[])
    )


@given(st.lists(arrays, max_size=4))
def test_inputs_become_arrays_over_the_raw_bytes(tensors: list[NDArray[Any]]) -> None:
    raw = [tensor.tobytes() for tensor in tensors]
    for injected, tensor in zip(inject([request_input(tensor) for tensor in tensors], raw), tensors, strict=True):
        array: Any = injected.data.root
        assert (array.dtype, array.shape) == (tensor.dtype, tensor.shape)
        assert array.tobytes() == tensor.tobytes()


@given(st.lists(arrays, max_size=4))
def test_outputs_become_raw_bytes(tensors: list[NDArray[Any]]) -> None:
    outputs = [
        ResponseOutput.model_construct(
            name="x",
            datatype=DATATYPES[tensor.dtype],
            shape=list(tensor.shape),
            data=TensorData.model_construct(root=tensor),
        )
        for tensor in tensors
    ]
    emptied, raw = extract(outputs)
    assert raw == [tensor.tobytes() for tensor in tensors]
    assert all(len(output.data.root) == 0 for output in emptied)


def test_an_input_with_contents_takes_no_raw_content() -> None:
    with_contents = RequestInput(name="own", datatype="INT32", shape=[2], data=TensorData(root=[1, 2]))
    without_contents = request_input(np.array([3, 4], np.int32))
    inject([with_contents, without_contents], [np.array([3, 4], np.int32).tobytes()])
    data: Any = without_contents.data.root
    assert (list(with_contents.data.root), data.tolist()) == ([1, 2], [3, 4])


@pytest.mark.parametrize(
    ("shape", "raw", "reason"),
    [([2], [], "has neither contents nor raw contents"), ([2], [b"abc"], "reshape"), ([-1, 2], [b"abc"], "reshape")],
)
def test_raw_contents_that_do_not_fit_are_refused(shape: list[int], raw: list[bytes], reason: str) -> None:
    tensor = RequestInput(name="x", datatype="UINT8", shape=shape, data=TensorData.model_construct(root=[]))
    with pytest.raises(ValueError, match=reason):
        inject([tensor], raw)


def test_a_datatype_without_raw_contents_is_refused() -> None:
    tensor = RequestInput(name="x", datatype="BYTES", shape=[1], data=TensorData.model_construct(root=[]))
    with pytest.raises(ValueError, match=r"'x' is of .*BYTES; one of BOOL"):
        inject([tensor], [b"a"])


def tensors_of_all_dtypes() -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(1)
    return {name: rng.integers(0, 2, (3, 2)).astype(dtype) for name, dtype in DTYPES.items()}


async def test_every_dtype_survives_a_round_trip_through_mlserver(client: InferenceClient) -> None:
    sent = tensors_of_all_dtypes()
    answer = await client.infer(ModelRef(name="echo", version="1"), sent)
    for name, tensor in sent.items():
        assert answer[f"{name}_OUT"].dtype == tensor.dtype
        np.testing.assert_array_equal(answer[f"{name}_OUT"], tensor)


async def test_tensors_without_elements_survive_a_round_trip_through_mlserver(client: InferenceClient) -> None:
    answer = await client.infer(
        ModelRef(name="echo", version="1"), {name: x[:, :0] for name, x in tensors_of_all_dtypes().items()}
    )
    assert {tensor.shape for tensor in answer.values()} == {(3, 0)}


async def test_a_dtype_without_a_datatype_is_refused(client: InferenceClient) -> None:
    with pytest.raises(RequestRefused, match="complex"):
        await client.infer(ModelRef(name="echo", version="1"), {"FP32": np.zeros((1, 1), complex)})


async def test_big_endian_tensors_are_sent_little_endian(client: InferenceClient) -> None:
    sent = tensors_of_all_dtypes() | {"INT32": np.array([[1, 2]] * 3, ">i4")}
    answer = await client.infer(ModelRef(name="echo", version="1"), sent)
    np.testing.assert_array_equal(answer["INT32_OUT"], sent["INT32"])
