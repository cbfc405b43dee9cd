import subprocess
import sys

import pytest

from app.settings import CHECKOUT


@pytest.mark.parametrize(
    ("process", "unwanted"), [("archive", {"pandas", "sqlalchemy"}), ("recorder", {"pyarrow", "deltalake", "alembic"})]
)
def test_a_process_does_not_import_what_it_does_not_need(process: str, unwanted: set[str]) -> None:
    code = (
        "import sys; from app import worker; from app.settings import settings;"
        f"worker.build_app(settings(), worker.PROCESSES[{process!r}]()); print(*sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert unwanted.isdisjoint(run.stdout.split())
