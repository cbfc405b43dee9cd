import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from pydantic import SecretStr

from app.catalog.catalog import Catalog
from app.retraining.lease import Leases
from app.settings import CHECKOUT, Settings
from tests.support.postgres import Postgres

LONG = 3600.0
OVER = 0.0
"""Seconds of a lease that expires at once, as a crashed holder's does after its time."""


@pytest.fixture
def replica(url: str) -> Iterator[Callable[[], Leases]]:
    """Return a function that opens the leases as another replica."""
    opened: list[Leases] = []

    def another() -> Leases:
        opened.append(Leases(url))
        return opened[-1]

    yield another
    for one in opened:
        one.close()


@pytest.fixture
def leases(replica: Callable[[], Leases]) -> Leases:
    return replica()


@pytest.mark.parametrize("before", ["never held", "crashed"])
def test_exactly_one_of_several_racing_holders_gets_the_lease(replica: Callable[[], Leases], before: str) -> None:
    racers = [replica() for _ in range(4)]
    for race in range(10):
        task = f"task-{race}"
        if before == "crashed":
            assert racers[0].acquire(task, "dead", "run-0", OVER)
        start = Barrier(len(racers))

        def run(number: int, task: str = task, start: Barrier = start) -> bool:
            start.wait()
            return racers[number].acquire(task, f"api-{number}", f"run-{number}", LONG)

        with ThreadPoolExecutor(len(racers)) as threads:
            won = list(threads.map(run, range(len(racers))))
        assert won.count(True) == 1
        assert racers[0].active_run_id(task) == f"run-{won.index(True)}"


def test_leases_of_different_tasks_are_independent(leases: Leases) -> None:
    assert leases.acquire("ocr", "api-1", "run-1", LONG)
    assert leases.acquire("decision", "api-2", "run-2", LONG)
    assert (leases.active_run_id("ocr"), leases.active_run_id("decision")) == ("run-1", "run-2")


def test_a_leased_task_can_not_be_leased_by_another_holder(leases: Leases) -> None:
    assert leases.acquire("ocr", "api-1", "run-1", LONG)
    assert not leases.acquire("ocr", "api-2", "run-2", LONG)
    assert not leases.acquire("ocr", "api-1", "run-2", LONG)
    assert leases.active_run_id("ocr") == "run-1"


def test_a_holder_may_lease_again_for_the_same_run(leases: Leases) -> None:
    assert leases.acquire("ocr", "api-1", "run-1", OVER)
    assert leases.acquire("ocr", "api-1", "run-1", LONG)
    assert leases.acquire("ocr", "api-1", "run-1", LONG)


def test_an_expired_lease_of_a_crashed_holder_can_be_taken(replica: Callable[[], Leases]) -> None:
    assert replica().acquire("ocr", "api-1", "run-1", OVER)
    other = replica()
    assert other.active_run_id("ocr") is None
    assert other.acquire("ocr", "api-2", "run-2", LONG)
    assert other.active_run_id("ocr") == "run-2"


def test_an_expired_lease_can_not_be_renewed(leases: Leases) -> None:
    assert leases.acquire("ocr", "api-1", "run-1", OVER)
    assert not leases.renew("ocr", "api-1", "run-1", LONG)
    assert leases.acquire("ocr", "api-2", "run-2", LONG)
    assert not leases.renew("ocr", "api-1", "run-1", LONG)
    leases.release("ocr", "api-1", "run-1")
    assert leases.active_run_id("ocr") == "run-2"


def test_a_renewed_lease_lasts_for_the_new_time(leases: Leases) -> None:
    assert leases.acquire("ocr", "api-1", "run-1", LONG)
    assert leases.renew("ocr", "api-1", "run-1", LONG)
    assert leases.active_run_id("ocr") == "run-1"
    assert leases.renew("ocr", "api-1", "run-1", OVER)
    assert leases.active_run_id("ocr") is None


def test_a_released_lease_is_free(leases: Leases) -> None:
    assert leases.acquire("ocr", "api-1", "run-1", LONG)
    leases.release("ocr", "api-1", "run-1")
    assert leases.acquire("ocr", "api-2", "run-2", LONG)


def test_rebuilding_the_catalog_keeps_leases_and_does_not_wait_for_them(url: str, leases: Leases) -> None:
    catalog = Catalog(url)
    catalog.upgrade()
    assert leases.acquire("ocr", "api-1", "run-1", LONG)
    with catalog.replace_tables():
        assert leases.active_run_id("ocr") == "run-1"
    catalog.close()
    assert leases.active_run_id("ocr") == "run-1"


def test_on_postgresql_a_run_renews_while_the_catalog_is_made_again(postgres: Postgres) -> None:
    url = Settings(database_url=SecretStr(postgres.create_database())).catalog_url
    catalog, leases = Catalog(url), Leases(url)
    catalog.upgrade()
    with catalog.replace_tables():
        assert leases.acquire("ocr", "api-1", "run-1", LONG)
        assert leases.renew("ocr", "api-1", "run-1", LONG)
    catalog.close()
    leases.close()


def test_replicas_that_start_together_find_the_table_made_once(url: str) -> None:
    code = "import sys; from app.retraining.lease import Leases; Leases(sys.argv[1])"
    words = [sys.executable, "-c", code, url]
    processes = [subprocess.Popen(words, cwd=CHECKOUT, stderr=subprocess.PIPE) for _ in range(2)]
    said = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 2, said
