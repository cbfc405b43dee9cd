import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from models import tensors
from models.base import Features, Rejected

DTYPES = ["bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"]
DTYPES += ["float16", "float32", "float64"]

shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
arrays = st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(dtype, shapes))
features = st.dictionaries(st.text(max_size=5), arrays, max_size=3)


def refusal(data: bytes, declaration: str) -> str:
    with pytest.raises(Rejected) as caught:
        tensors.decode(data, declaration)
    assert caught.value.code == "bad_features"
    return str(caught.value)


def declared(**tensor: Any) -> str:
    return json.dumps([{"name": "x", "dtype": "uint8", "shape": [2]} | tensor])


@given(features)
def test_tensors_are_read_as_they_were_written(original: Features) -> None:
    read = tensors.decode(*tensors.encode(original))
    assert list(read) == list(original)
    for name, tensor in original.items():
        assert (read[name].dtype, read[name].shape) == (tensor.dtype, tensor.shape)
        assert read[name].tobytes() == tensor.tobytes()  # NaNs as well


@given(features)
def test_the_declaration_is_plain_ascii(original: Features) -> None:
    declaration = tensors.encode(original)[1]
    assert declaration.isascii()
    assert declaration.isprintable()


@given(hnp.arrays(hnp.integer_dtypes(endianness=">") | hnp.floating_dtypes(endianness=">", sizes=(16, 32, 64)), shapes))
def test_big_endian_tensors_are_written_little_endian(tensor: Any) -> None:
    [read] = tensors.decode(*tensors.encode({"x": tensor})).values()
    assert read.dtype == tensor.dtype.newbyteorder("<")
    np.testing.assert_array_equal(read, tensor)


def test_a_view_with_strides_is_written_in_order() -> None:
    tensor = np.arange(12, dtype=np.int16).reshape(3, 4).T[::2]
    np.testing.assert_array_equal(tensors.decode(*tensors.encode({"x": tensor}))["x"], tensor)


def test_what_was_read_cannot_be_written_to() -> None:
    read = tensors.decode(*tensors.encode({"x": np.zeros(2)}))["x"]
    with pytest.raises(ValueError, match="read-only"):
        read[0] = 1


@pytest.mark.parametrize("tensor", [np.zeros(1, complex), np.array(["a"]), np.array([None])])
def test_a_dtype_that_has_no_place_on_the_wire_is_said(tensor: Any) -> None:
    with pytest.raises(TypeError, match="tensor 'x' has dtype"):
        tensors.encode({"x": tensor})


@given(features, st.data())
def test_every_truncation_is_rejected(original: Features, data: st.DataObject) -> None:
    encoded, declaration = tensors.encode(original)
    if encoded:
        refusal(encoded[: data.draw(st.integers(0, len(encoded) - 1))], declaration)


@given(features, st.binary(min_size=1))
def test_every_extension_is_rejected(original: Features, more: bytes) -> None:
    encoded, declaration = tensors.encode(original)
    assert f"{len(encoded)} are declared" in refusal(encoded + more, declaration)


@pytest.mark.parametrize(
    "declaration",
    [
        "",
        "{",
        "null",
        "5",
        '"text"',
        '{"name": "x"}',
        "[5]",
        "[null]",
        "[" * 100_000,
        '[{"dtype": "uint8", "shape": [2]}]',
        '[{"name": "x", "shape": [2]}]',
        '[{"name": "x", "dtype": "uint8"}]',
        declared(dtype="object"),
        declared(dtype="complex64"),
        declared(dtype="V2"),
        declared(dtype=">f4"),
        declared(dtype=None),
        declared(shape=[-2]),
        declared(shape=[-1, -2]),
        declared(shape=[2**31, 2**31]),
        declared(shape=[2**63]),
        declared(shape=[2**80]),
        declared(shape=[0, 2**80]),
        declared(shape=[1] * 100),
        declared(shape=2),
        declared(shape=None),
        declared(shape=["two"]),
        declared(shape=[float("inf")]),
        declared(shape=[float("nan")]),
        declared(shape=[1]),
        declared(shape=[3]),
        declared(dtype="uint16"),
        "[]",
        f'[{{"name": "x", "dtype": "uint8", "shape": [{"9" * 5000}]}}]',
    ],
    ids=lambda declaration: declaration[:60],
)
def test_a_hostile_declaration_is_rejected(declaration: str) -> None:
    refusal(b"ab", declaration)


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.binary(max_size=8),
    json_values
    | st.lists(
        st.fixed_dictionaries(
            {"name": json_values, "dtype": st.sampled_from(DTYPES) | json_values, "shape": json_values}
        )
    ),
)
def test_any_declaration_is_read_or_rejected(data: bytes, declaration: Any) -> None:
    try:
        read = tensors.decode(data, json.dumps(declaration))
    except Rejected as error:
        assert error.code == "bad_features"
    else:
        assert sum(tensor.nbytes for tensor in read.values()) <= len(data)
