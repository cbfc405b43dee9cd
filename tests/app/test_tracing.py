import subprocess
import sys

from app.settings import CHECKOUT, Settings
from app.tracing import get_tracing


def test_without_an_endpoint_there_is_no_tracing() -> None:
    assert get_tracing(Settings(otlp_endpoint=""), "worker") is None


def test_without_an_endpoint_opentelemetry_is_not_imported() -> None:
    code = "import sys, app.tracing, app.preprocess.preprocessor; print([m for m in sys.modules if 'telemetry' in m])"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=CHECKOUT, text=True).strip() == "[]"
