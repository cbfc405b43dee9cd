import json
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.preprocess.suspects import Flight, collect, quarantined
from app.settings import CHECKOUT

RECORD, OTHER = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))

_DIES = """
import os, sys
from pathlib import Path
from app.preprocess.suspects import Flight

flight = Flight(Path(sys.argv[1]))
for record in sys.argv[3:-1]:
    with flight.of(record):
        pass
with flight.of(sys.argv[-1]):
    os.kill(os.getpid(), int(sys.argv[2]))
"""


def die(directory: Path, *records: str, number: signal.Signals = signal.SIGKILL) -> None:
    """A process that reads these records, and dies of the last."""
    died = subprocess.run(
        [sys.executable, "-c", _DIES, str(directory), str(int(number)), *records], cwd=CHECKOUT, check=False
    )
    assert died.returncode == -number


def test_a_place_without_flights_has_no_suspects(tmp_path: Path) -> None:
    assert collect(tmp_path / "new") == {}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_process_that_died_on_a_record_is_counted_against_it(tmp_path: Path, number: signal.Signals) -> None:
    die(tmp_path, OTHER, RECORD, number=number)
    assert collect(tmp_path) == {RECORD: 1}


def test_the_third_death_quarantines(tmp_path: Path) -> None:
    held = []
    for _ in range(3):
        die(tmp_path, RECORD)
        held.append(quarantined(collect(tmp_path)))
    assert held == [frozenset(), frozenset(), {RECORD}]
    assert quarantined(collect(tmp_path)) == {RECORD}


@given(st.dictionaries(st.uuids().map(str), st.integers(1, 6)))
def test_only_what_died_three_times_is_quarantined(deaths: dict[str, int]) -> None:
    assert quarantined(deaths) == {record for record, count in deaths.items() if count >= 3}


def test_a_death_is_counted_once(tmp_path: Path) -> None:
    die(tmp_path, RECORD)
    assert [collect(tmp_path) for _ in range(3)] == [{RECORD: 1}] * 3
    assert list(tmp_path.glob("*.flight")) == []


def test_suspects_outlive_starts_at_which_others_die(tmp_path: Path) -> None:
    die(tmp_path, RECORD)
    collect(tmp_path)
    die(tmp_path, OTHER)
    collect(tmp_path)
    die(tmp_path, RECORD)
    assert collect(tmp_path) == {RECORD: 2, OTHER: 1}


def test_each_instance_of_a_process_has_its_suspect(tmp_path: Path) -> None:
    one, other, idle = Flight(tmp_path), Flight(tmp_path), Flight(tmp_path)
    with one.of(RECORD), other.of(OTHER), idle.of(RECORD):
        pass
    with one.of(RECORD), other.of(OTHER):
        assert collect(tmp_path) == {RECORD: 1, OTHER: 1}


def test_a_flight_that_ended_well_is_no_death(tmp_path: Path) -> None:
    flight = Flight(tmp_path)
    for record in (RECORD, OTHER):
        with flight.of(record):
            pass
    assert collect(tmp_path) == {}


def test_an_exception_is_no_death(tmp_path: Path) -> None:
    with pytest.raises(KeyError), Flight(tmp_path).of(RECORD):
        raise KeyError
    assert collect(tmp_path) == {}


def test_a_shorter_id_after_a_longer_one_is_itself(tmp_path: Path) -> None:
    flight = Flight(tmp_path)
    with flight.of("a longer id"):
        pass
    with flight.of("short"):
        assert collect(tmp_path) == {"short": 1}


def test_a_flight_that_was_just_begun_is_no_death(tmp_path: Path) -> None:
    (tmp_path / "begun.flight").touch()
    assert collect(tmp_path) == {}


def test_a_closed_flight_leaves_nothing(tmp_path: Path) -> None:
    flight = Flight(tmp_path)
    with flight.of(RECORD):
        pass
    flight.close()
    assert list(tmp_path.iterdir()) == []


def test_a_death_while_counting_forgets_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Flight(tmp_path).of(RECORD):
        with monkeypatch.context() as patch, pytest.raises(OSError, match="full"):
            patch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("the disk is full")))
            collect(tmp_path)
        assert collect(tmp_path) == {RECORD: 1}
    assert json.loads((tmp_path / "suspects.json").read_text()) == {RECORD: 1}
