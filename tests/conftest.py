import os
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import settings as hypothesis_settings

from app.embedded import ports
from app.settings import CHECKOUT, Settings, TaskSettings
from app.settings.memory import CorrectionMemorySettings
from models.small import SMALL_TASKS
from tests.support import tools
from tests.support.platform import platform_settings, run_processes
from tests.support.stack import Stack

# The time of an example depends on the machine.
hypothesis_settings.register_profile("hindsight", deadline=None)
hypothesis_settings.load_profile("hindsight")

# Each test process has ports of its own, so that it does not bind one that another has found free.
if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    ports.FREE_PORT_RANGE = ports.FREE_PORT_RANGE[
        int(worker.removeprefix("gw")) :: int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    ]

# Small trainings spend most of their time compiling: share the result among tests, and with later runs.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CHECKOUT / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")

# The small networks answer within milliseconds. By a variable of the environment they would be merged with the tasks
# that a test names.
Settings.model_fields["tasks"].default = SMALL_TASKS
Settings.model_rebuild(force=True)

TASKS = {**SMALL_TASKS, "letters": "tests.support.tasks:Letters", "scales": "tests.support.scales:Scales"}

TASK_SETTINGS = {
    "letters": TaskSettings(audit_rate=0.2, reward_window_seconds=5, reward_default=-0.5),
    "scales": TaskSettings(correction_memory=CorrectionMemorySettings()),
}

SESSIONS = {"session_gap_seconds": 10, "session_idle_seconds": 300, "session_partial_seconds": 0.001}
"""Live sessions wait 10 s for a missing chunk and 300 s for the next one; their partial answers come at once."""


@pytest.fixture(scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """The whole platform, as `hindsight up` runs it; shared, because its start takes half a minute."""
    directory = tmp_path_factory.mktemp("stack")
    settings = platform_settings(directory, tasks=TASKS, task_settings=TASK_SETTINGS, **SESSIONS)
    async with run_processes(settings, only=PROCESSES) as supervisor:
        await supervisor.wait_ready(180)
        yield Stack(settings, supervisor)


PROCESSES = (
    *("kafka", "preprocess", "mlserver", "worker", "archive", "recorder", "api"),
    *("prometheus", "alertmanager"),  # if they are on PATH
)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail a test whose program is missing, instead of skipping it."""
    for mark in item.iter_markers("needs"):
        tools.require_programs(*mark.args)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Stop the whole platform after the last test that uses it: idle, it takes a quarter of a core."""
    yield
    if _shared_fixture(item) == "stack" and (nextitem is None or _shared_fixture(nextitem) != "stack"):
        assert isinstance(item, pytest.Function)
        for definition in item._fixtureinfo.name2fixturedefs["stack"]:
            definition.finish(item._request)  # type: ignore[arg-type]  # any request will do


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest tests first, and start each shared platform in one test process only.

    One process runs all tests of the whole platform, another those of the smaller one. The other tests follow file by
    file, so that the short ones at the end spread evenly.
    """
    fixtures = {item: _shared_fixture(item) for item in items}
    items.sort(key=lambda item: _SHARED_FIXTURES.index(name) if (name := fixtures[item]) else len(_SHARED_FIXTURES))
    for item in items:
        item.add_marker(pytest.mark.xdist_group(fixtures[item] or str(item.path)))


_SHARED_FIXTURES = ("stack", "platform")


def _shared_fixture(item: pytest.Item) -> str | None:
    """Return the fixture of a running platform that a test uses."""
    return next((name for name in _SHARED_FIXTURES if name in getattr(item, "fixturenames", ())), None)
