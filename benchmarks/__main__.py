"""`make bench`: measure the platform, and compare it with ONNX Runtime alone and with the simplest peer."""

import argparse
import asyncio
import signal
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from app.errors import SetupError
from benchmarks import report
from benchmarks.child_process import BenchmarkError
from benchmarks.options import PARTS, QUICK, BenchmarkOptions
from benchmarks.run import BenchmarkRun

RESULTS = Path(__file__).parent / "results"
FILE_WIDTH = 120
LENGTHS = {
    "seconds": "length of each load",
    "warm_up": "seconds of each load that are not measured",
    "rest_seconds": "seconds for which the platform is measured at rest",
    "overload_seconds": "length of the overload",
    "recovery_seconds": "time after the overload",
    "first_seconds": "length of the first load, until the JVMs have compiled the hot code",
    "requests": "length of each backlog",
    "payloads": "distinct images",
    "task_requests": "length of the backlogs of the part `tasks`",
    "task_payloads": "its distinct payloads of each task",
    "model_requests": "length of the backlogs of the part `models`",
    "events": "length of the replayed archive",
    "repetitions": "maximum number of backlogs, and of replays",
}


def parse_options(arguments: list[str] | None = None) -> BenchmarkOptions:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__, argument_default=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="to compare versions: a few parts, less than four minutes")
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument(
        "--profile",
        nargs="?",
        type=Path,
        const=RESULTS / "profile",
        metavar="FOLDER",
        help="write a flame graph of each process, at the first of the rates and saturated, after all else",
    )
    parser.add_argument("--tasks", nargs="+", metavar="TASK", help="of the part `tasks`; by default all")
    parser.add_argument("--rates", nargs="*", type=float, metavar="RATE", help="requests/s of the loads")
    parser.add_argument("--shares", nargs="*", type=float, metavar="SHARE", help="further rates, of the saturated one")
    parser.add_argument("--extra-kb", nargs="+", type=float, metavar="KB", help="what payloads are enlarged by")
    for name, help in LENGTHS.items():
        default = getattr(BenchmarkOptions(), name)
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=type(default), metavar="N", help=f"{help}; {default:g}")
    chosen: dict[str, Any] = vars(parser.parse_args(arguments))
    defaults = QUICK if chosen.pop("quick", False) else BenchmarkOptions()
    tuples = {name: tuple(value) for name, value in chosen.items() if isinstance(value, list)}
    options = replace(defaults, **chosen | tuples)
    if len(set(options.extra_kb)) < 2:
        parser.error("--extra-kb needs two sizes or more: the cost of a kB is a slope")
    return options


async def run_benchmark(options: BenchmarkOptions, console: Console) -> None:
    """Measure, print and save, also what an aborted run has measured. SIGINT and SIGTERM stop what was started."""
    run = BenchmarkRun(options, console)
    measuring = asyncio.ensure_future(run.measure())
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signal_number, measuring.cancel)
    try:
        await measuring
    finally:
        if run.results.summary:
            report.print_results(run.results, console)
            name = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
            path = report.save_results(run.results, RESULTS, name)
            console.print(f"\nSaved: {path} and .json", soft_wrap=True)


def main() -> int:
    """Run the benchmark; return the exit code, 0 if everything was measured."""
    options = parse_options()
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = FILE_WIDTH
    try:
        asyncio.run(run_benchmark(options, console))
    except (BenchmarkError, SetupError) as error:
        console.print(f"error: {error}", style="red", markup=False)
        return 1
    except asyncio.CancelledError:
        console.print("Stopped; nothing is left running.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
