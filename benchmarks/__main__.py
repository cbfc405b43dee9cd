"""`make bench`: measure the platform, and compare it with ONNX Runtime alone and with the simplest peer."""

import argparse
import asyncio
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from app.errors import SetupError
from benchmarks import report
from benchmarks.child_process import BenchmarkError
from benchmarks.run import PARTS, BenchmarkOptions, BenchmarkRun

RESULTS = Path(__file__).parent / "results"
FILE_WIDTH = 120


def parse_options(arguments: list[str] | None = None) -> BenchmarkOptions:
    """Return the options of the command line."""
    defaults = BenchmarkOptions()
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--rates", nargs="+", type=float, default=defaults.rates, help="requests/s of the loads")
    parser.add_argument("--seconds", type=float, default=defaults.seconds, help="length of each load")
    parser.add_argument(
        "--warm-up", type=float, default=defaults.warm_up, help="seconds of each load that are not measured"
    )
    parser.add_argument("--requests", type=int, default=defaults.requests, help="length of each backlog")
    parser.add_argument("--payloads", type=int, default=defaults.payloads, help="distinct images")
    parser.add_argument(
        "--task-requests", type=int, default=defaults.task_requests, help="length of the other tasks' backlogs"
    )
    parser.add_argument(
        "--task-payloads", type=int, default=defaults.task_payloads, help="distinct payloads of each other task"
    )
    parser.add_argument("--events", type=int, default=defaults.events, help="length of the replayed archive")
    parser.add_argument(
        "--repetitions", type=int, default=defaults.repetitions, help="maximum number of backlogs, and of replays"
    )
    options = vars(parser.parse_args(arguments))
    return BenchmarkOptions(**options | {"only": tuple(options["only"]), "rates": tuple(options["rates"])})


async def run_benchmark(options: BenchmarkOptions, console: Console) -> None:
    """Measure, print and save. SIGINT and SIGTERM stop what was started."""
    run = asyncio.ensure_future(BenchmarkRun(options, console)())
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signal_number, run.cancel)
    results = await run
    report.print_results(results, console)
    path = report.save_results(results, RESULTS, datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%SZ"))
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
