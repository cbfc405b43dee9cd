import os
from collections.abc import AsyncIterator

import pytest
from hypothesis import settings as hypothesis_settings

from app.embedded import ports
from app.settings import CHECKOUT, Settings, TaskSettings
from tests.support import tools
from tests.support.platform import platform_settings, run_processes
from tests.support.stack import Stack

# How long an example takes says more of the machine than of the code.
hypothesis_settings.register_profile("hindsight", deadline=None)
hypothesis_settings.load_profile("hindsight")

# Of two test processes neither takes a port that the other one has found free and not yet bound.
if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    ports.FREE_PORT_RANGE = ports.FREE_PORT_RANGE[
        int(worker.removeprefix("gw")) :: int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    ]

# Most of what a small training takes is its compilation: the same for all tests, and for the next run of them.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CHECKOUT / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")

TASKS = {**Settings().tasks, "letters": "tests.support.tasks:Letters"}

JUDGED = {"letters": TaskSettings(audit_rate=0.2, reward_window_seconds=5, reward_default=-0.5)}

SESSIONS = {"session_gap_seconds": 10, "session_idle_seconds": 300, "session_partial_seconds": 0.001}
"""Live sessions wait ten seconds for a missing chunk and long for a next one; their partial answers come at once."""


@pytest.fixture(scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """The whole platform, as `hindsight up` runs it: shared, for it takes half a minute."""
    settings = platform_settings(tmp_path_factory.mktemp("stack"), tasks=TASKS, task_settings=JUDGED, **SESSIONS)
    async with run_processes(settings, only=PROCESSES) as supervisor:
        await supervisor.wait_ready(180)
        yield Stack(settings, supervisor)


PROCESSES = (
    *("kafka", "preprocess", "mlserver", "worker", "archive", "recorder", "api"),
    *("prometheus", "alertmanager"),  # where they are on PATH
)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A missing program is a failure, not a skip."""
    for mark in item.iter_markers("needs"):
        tools.require_programs(*mark.args)


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, and start each shared platform in one test process only.

    One process takes all tests of the whole platform, another those of the smaller ones, and then file by file what is
    left: the short ones at the end are spread evenly.
    """
    items.sort(key=lambda item: _SHARED.index(name) if (name := _shared(item)) else len(_SHARED))
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_shared(item) or str(item.path)))


_SHARED = ("stack", "platform")


def _shared(item: pytest.Item) -> str | None:
    """The fixture of a running platform that a test uses."""
    return next((name for name in _SHARED if name in getattr(item, "fixturenames", ())), None)
