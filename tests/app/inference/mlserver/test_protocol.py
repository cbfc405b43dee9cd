import subprocess
import sys

import pytest


def test_the_worker_starts_without_mlserver_and_what_it_imports() -> None:
    unwanted = "{'mlserver', 'pandas', 'fastapi', 'opentelemetry'}"
    code = f"import sys, agents.inference; found = {unwanted} & set(sys.modules); assert not found, found"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "imports",
    [
        ("from app.inference.mlserver.protocol import pb", "from mlserver.grpc.dataplane_pb2 import ModelInferRequest"),
        ("from mlserver.grpc.dataplane_pb2 import ModelInferRequest", "from app.inference.mlserver.protocol import pb"),
    ],
)
def test_the_messages_are_those_of_mlserver_whichever_is_imported_first(imports: tuple[str, str]) -> None:
    code = "\n".join((*imports, "assert pb.ModelInferRequest is ModelInferRequest"))
    subprocess.run([sys.executable, "-c", code], check=True)
