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
from app.inference.mlserver.tensor_codec import DATATYPES, DTYPES, extract, inject

shapes = hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3)
arrays = st.sampled_from(list(DTYPES.values())).flatmap(lambda dtype: hnp.arrays(dtype, shapes))


def asked(array: NDArray[Any], name: str = "x") -> RequestInput:
    return RequestInput(
        name=name, datatype=DATATYPES[array.dtype], shape=list(array.shape), data=TensorData.model_construct(root=[])
    )


@given(st.lists(arrays, max_size=4))
def test_tensors_come_in_as_arrays_over_the_bytes(tensors: list[NDArray[Any]]) -> None:
    raw = [tensor.tobytes() for tensor in tensors]
    for read, tensor in zip(inject([asked(tensor) for tensor in tensors], raw), tensors, strict=True):
        array: Any = read.data.root
        assert (array.dtype, array.shape) == (tensor.dtype, tensor.shape)
        assert array.tobytes() == tensor.tobytes()


@given(st.lists(arrays, max_size=4))
def test_tensors_go_out_as_bytes(tensors: list[NDArray[Any]]) -> None:
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


def test_tensors_with_contents_of_their_own_take_no_raw_contents() -> None:
    own = RequestInput(name="own", datatype="INT32", shape=[2], data=TensorData(root=[1, 2]))
    bare = asked(np.array([3, 4], np.int32))
    inject([own, bare], [np.array([3, 4], np.int32).tobytes()])
    data: Any = bare.data.root
    assert (list(own.data.root), data.tolist()) == ([1, 2], [3, 4])


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


def echoed() -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(1)
    return {name: rng.integers(0, 2, (3, 2)).astype(dtype) for name, dtype in DTYPES.items()}


async def test_every_dtype_goes_to_mlserver_and_back(client: InferenceClient) -> None:
    sent = echoed()
    answer = await client.infer(ModelRef(name="echo", version="1"), sent)
    for name, tensor in sent.items():
        assert answer[f"{name}_OUT"].dtype == tensor.dtype
        np.testing.assert_array_equal(answer[f"{name}_OUT"], tensor)


async def test_tensors_without_elements_go_to_mlserver_and_back(client: InferenceClient) -> None:
    answer = await client.infer(ModelRef(name="echo", version="1"), {name: x[:, :0] for name, x in echoed().items()})
    assert {tensor.shape for tensor in answer.values()} == {(3, 0)}


async def test_a_dtype_that_has_no_name_is_refused(client: InferenceClient) -> None:
    with pytest.raises(RequestRefused, match="complex"):
        await client.infer(ModelRef(name="echo", version="1"), {"FP32": np.zeros((1, 1), complex)})


async def test_big_endian_tensors_are_sent_little_endian(client: InferenceClient) -> None:
    sent = echoed() | {"INT32": np.array([[1, 2]] * 3, ">i4")}
    answer = await client.infer(ModelRef(name="echo", version="1"), sent)
    np.testing.assert_array_equal(answer["INT32_OUT"], sent["INT32"])
