"""The command line of the benchmark."""

from benchmarks.__main__ import parse_options
from benchmarks.options import PARTS, QUICK, BenchmarkOptions


def test_without_options_everything_is_measured() -> None:
    assert parse_options([]) == BenchmarkOptions(only=PARTS)


def test_parts_and_lengths_can_be_chosen() -> None:
    options = parse_options(["--only", "latency", "limit", "--rates", "200", "--seconds", "5"])
    assert (options.only, options.rates, options.seconds) == (("latency", "limit"), (200.0,), 5.0)
    options = parse_options(["--only", "replay", "--events", "5000"])
    assert (options.only, options.events) == (("replay",), 5000)


def test_the_quick_form_measures_few_parts_and_its_lengths_can_be_chosen_too() -> None:
    assert parse_options(["--quick"]) == QUICK
    options = parse_options(["--quick", "--requests", "500"])
    assert (options.requests, options.rates) == (500, QUICK.rates)
