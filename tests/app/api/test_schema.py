"""The API behaves as its OpenAPI document says: schemathesis tests it, with all of its checks."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.auth.keys import KeyStore
from app.auth.scopes import SCOPES
from app.embedded.api_readiness import api_url
from app.settings import CHECKOUT, Settings
from tests.support.platform import platform_settings, run_processes, wait_until_alive

CONFIG = Path(__file__).with_name("schemathesis.toml")
TASKS = {"letters": "tests.support.tasks:Letters", "ocr": "models.small.ocr:Ocr"}


@pytest.fixture(scope="module")
async def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Settings]:
    """A broker, the API (a module) and the recorder of their own, because the requests change their state."""
    folder = tmp_path_factory.mktemp("schema")
    config, procfile = platform_settings(folder, tasks=TASKS), folder / "Procfile"
    procfile.write_text((CHECKOUT / "Procfile").read_text().replace("-m app.api", f"-m {request.param}"))
    async with run_processes(config, only=("kafka", "recorder", "api"), procfile=procfile):
        await wait_until_alive(config)
        yield config


@pytest.mark.parametrize(
    ("api", "examples"),
    [("tests.support.api_without_replays", 5), pytest.param("app.api", 500, marks=pytest.mark.soak)],
    indirect=["api"],
)
@pytest.mark.timeout(7200)
async def test_every_response_is_as_documented_and_none_is_a_server_error(
    api: Settings, tmp_path: Path, examples: int
) -> None:
    keys = KeyStore(api.catalog_url)
    token = keys.create(f"schemathesis-{examples}", frozenset(SCOPES))
    keys.close()
    command = [str(Path(sys.executable).with_name("schemathesis")), f"--config-file={CONFIG}", "run"]
    command += [f"{api_url(api)}/openapi.json", f"--header=X-API-Key: {token}", "--checks=all", "--no-color"]
    # A removed replay is still found, in the state `gone` and with the reason.
    command += ["--exclude-checks=use_after_free"]
    command += ["--generation-deterministic", f"--max-examples={examples}", "--continue-on-failure", "--warnings=off"]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    log = (api.home / "logs" / "api.log").read_text()
    assert "Traceback" not in log
