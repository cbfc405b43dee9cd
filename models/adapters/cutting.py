"""Cut an ONNX model in two at a tensor: what comes before is frozen, what comes after is learned anew."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import onnx

LAYERS = ("MatMul", "Gemm", "Conv")
"""The operators whose second input are weights."""


class Cut(NamedTuple):
    """The two parts of a model. The only output of the body and the only input of the head is the tensor of the cut."""

    body: onnx.ModelProto
    head: onnx.ModelProto


def last_layer(model: onnx.ModelProto, output: str = "") -> Any:
    """Return the last operator with weights before an output, by default the first.

    Between them there may be what has one input that is not a constant, such as an activation or a bias. Raises
    `ValueError` where the way back forks before there is such an operator.
    """
    weights, stored = _weights(model), _stored(model)
    makers = {name: node for node in model.graph.node for name in node.output}
    tensor = output or model.graph.output[0].name
    while (node := makers.get(tensor)) is not None:
        if node.op_type in LAYERS and node.input[1] in weights:
            return node
        computed = [name for name in node.input if name and name not in stored]
        if len(computed) != 1:
            raise ValueError(
                f"{node.op_type} makes {tensor!r} of {len(computed)} tensors ({', '.join(computed)}), so the last "
                "layer can't be found from there: name the tensor to cut at"
            )
        (tensor,) = computed
    raise ValueError(f"no {', '.join(LAYERS)} with stored weights leads to {output or 'the first output'!r}")


def cut(model: onnx.ModelProto, tensor: str = "") -> Cut:
    """Return the parts of a model before and after a tensor, by default the input of its last layer.

    Both keep the model's metadata. Raises `ValueError` if there is no such tensor, or if it is not all that the head
    takes.
    """
    tensor = tensor or last_layer(model).input[0]
    inputs, outputs = ([value.name for value in values] for values in (_inputs(model), model.graph.output))
    extractor = onnx.utils.Extractor(onnx.shape_inference.infer_shapes(model))
    body, head = (_part(model, extractor, *ends) for ends in ((inputs, [tensor]), ([tensor], outputs)))
    made = {name for node in head.graph.node for name in node.output} | _stored(head) | {tensor, ""}
    if missing := sorted({name for node in head.graph.node for name in node.input} - made):
        raise ValueError(f"behind {tensor!r} the model also takes {', '.join(missing)}: cut it at another tensor")
    return Cut(body, head)


def _part(model: onnx.ModelProto, extractor: Any, inputs: Sequence[str], outputs: Sequence[str]) -> onnx.ModelProto:
    part: onnx.ModelProto = extractor.extract_model(inputs, outputs)
    onnx.helper.set_model_props(part, {entry.key: entry.value for entry in model.metadata_props})
    del part.graph.value_info[:]
    return part


def joined(parts: Cut) -> onnx.ModelProto:
    """Return the model that does what the body and then the head do, with the body's inputs and the head's outputs."""
    (made,), (taken,) = parts.body.graph.output, _inputs(parts.head)
    whole = onnx.compose.merge_models(parts.body, parts.head, [(made.name, taken.name)])
    onnx.helper.set_model_props(whole, {entry.key: entry.value for entry in parts.head.metadata_props})
    return whole


def _inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """Return the inputs without the weights, which old models list among them."""
    weights = _weights(model)
    return [value for value in model.graph.input if value.name not in weights]


def _weights(model: onnx.ModelProto) -> set[str]:
    return {tensor.name for tensor in model.graph.initializer}


def _stored(model: onnx.ModelProto) -> set[str]:
    constants = {name for node in model.graph.node if node.op_type == "Constant" for name in node.output}
    return constants | _weights(model)
