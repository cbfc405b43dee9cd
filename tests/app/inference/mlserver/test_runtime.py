import grpc
import httpx
import numpy as np
import pytest
from mlserver.grpc import dataplane_pb2 as pb
from mlserver.grpc.dataplane_pb2_grpc import GRPCInferenceServiceStub

from app.errors import RequestRefused
from app.events.base import ModelRef
from app.inference.mlserver import token
from app.inference.mlserver.client import InferenceClient
from app.settings import Settings
from app.tracing import use_traceparent
from tests.support.otlp_collector import Collector

FIRST = ModelRef(name="letters", version="1")


def token_metadata(mlserver: Settings) -> tuple[tuple[str, str], ...]:
    return tuple(token.auth_headers(token.load_or_create(mlserver)).items())


async def test_metadata_names_inputs_and_outputs(mlserver: Settings) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{mlserver.mlserver_grpc_port}") as channel:
        stub = GRPCInferenceServiceStub(channel)
        request = pb.ModelMetadataRequest(name="letters-1", version="1")
        response = await stub.ModelMetadata(request, metadata=token_metadata(mlserver))
    assert response.platform == "onnxruntime"
    assert [(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in response.inputs] == [
        ("letters", "UINT8", [-1, -1])
    ]
    assert [(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in response.outputs] == [
        ("sum", "FP32", [-1])
    ]


@pytest.mark.parametrize(
    ("batch", "reason"),
    [
        ({"letters": np.zeros((1, 2), np.float32)}, "'letters' is of FP32; model letters-1 takes UINT8"),
        ({"letters": np.zeros((1, 2), np.int8)}, "'letters' is of INT8; model letters-1 takes UINT8"),
        ({"numbers": np.zeros((1, 2), np.uint8)}, "has no input 'numbers'; it has letters"),
        ({"letters": np.zeros(2, np.uint8)}, "Invalid rank for input: letters"),
        ({"letters": np.zeros((1, 2, 3), np.uint8)}, "Invalid rank for input: letters"),
        ({}, "letters"),
    ],
    ids=["dtype", "sign", "name", "rank below", "rank above", "nothing"],
)
async def test_a_batch_that_the_model_cannot_take_is_refused_with_the_reason(
    client: InferenceClient, batch: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]], reason: str
) -> None:
    with pytest.raises(RequestRefused) as caught:
        await client.infer(FIRST, batch)
    assert reason in str(caught.value)


async def test_a_call_that_is_part_of_a_trace_has_a_span_in_it(client: InferenceClient, collector: Collector) -> None:
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    await client.infer(FIRST, {"letters": np.ones((3, 2), np.uint8)})
    with use_traceparent(f"00-{trace}-{parent}-01"):
        await client.infer(FIRST, {"letters": np.ones((3, 2), np.uint8)})
    [span] = await collector.wait_for(bool)
    assert (span.service, span.name, span.trace, span.parent) == ("hindsight-mlserver", "model", trace, parent)
    assert span.attributes == {"hindsight.model": "letters-1", "hindsight.version": "1", "hindsight.batch_size": 3}


async def test_a_refusal_leaves_the_model_serving(client: InferenceClient) -> None:
    with pytest.raises(RequestRefused):
        await client.infer(FIRST, {"letters": np.zeros(2, np.uint8)})
    assert (await client.infer(FIRST, {"letters": np.ones((1, 2), np.uint8)}))["sum"].tolist() == [2]


async def test_an_unknown_output_is_refused(mlserver: Settings) -> None:
    request = pb.ModelInferRequest(
        model_name="letters-1",
        inputs=[pb.ModelInferRequest.InferInputTensor(name="letters", datatype="UINT8", shape=[1, 1])],
        outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name="product")],
        raw_input_contents=[b"a"],
    )
    async with grpc.aio.insecure_channel(f"127.0.0.1:{mlserver.mlserver_grpc_port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError, match="product"):
            await GRPCInferenceServiceStub(channel).ModelInfer(request, metadata=token_metadata(mlserver))


async def test_rest_serves_the_same_model(mlserver: Settings) -> None:
    tensor = {"name": "letters", "datatype": "UINT8", "shape": [2, 2], "data": [1, 2, 3, 4]}
    async with httpx.AsyncClient(trust_env=False) as http:
        url = f"http://127.0.0.1:{mlserver.mlserver_http_port}/v2/models/letters-1/versions/1/infer"
        answer = await http.post(
            url, json={"inputs": [tensor]}, headers=token.auth_headers(token.load_or_create(mlserver))
        )
    assert answer.status_code == 200, answer.text
    assert answer.json()["outputs"][0]["data"] == [3.0, 7.0]


async def test_grpc_without_raw_contents_serves_the_same_model(mlserver: Settings) -> None:
    contents = pb.InferTensorContents(uint_contents=[1, 2, 3, 4])
    tensor = pb.ModelInferRequest.InferInputTensor(name="letters", datatype="UINT8", shape=[2, 2], contents=contents)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{mlserver.mlserver_grpc_port}") as channel:
        request = pb.ModelInferRequest(model_name="letters-1", inputs=[tensor])
        answer = await GRPCInferenceServiceStub(channel).ModelInfer(request, metadata=token_metadata(mlserver))
    assert list(answer.outputs[0].contents.fp32_contents) == [3, 7]
