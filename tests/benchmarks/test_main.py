"""The command line."""

from benchmarks.__main__ import options
from benchmarks.run import PARTS, Options


def test_without_options_everything_is_measured() -> None:
    assert options([]) == Options(only=PARTS)


def test_parts_and_lengths_can_be_chosen() -> None:
    chosen = options(["--only", "latency", "limit", "--rates", "200", "--seconds", "5"])
    assert (chosen.only, chosen.rates, chosen.seconds) == (("latency", "limit"), (200.0,), 5.0)
    chosen = options(["--only", "replay", "--events", "5000"])
    assert (chosen.only, chosen.events) == (("replay",), 5000)
