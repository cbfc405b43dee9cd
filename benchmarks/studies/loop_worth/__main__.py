"""What the loop is worth on a drifting stream, as one number: `python -m benchmarks.studies.loop_worth TASK`.

A task serves 30 simulated days of requests whose source changes: see `streams`. Four policies answer the same requests:
version 1 for ever; each day a new version, without a gate; the loop; and the version that was the best of each day, in
hindsight, among all that were trained. The number is the share of the gap between the first and the last that the loop
closes.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks.report import TableSection
from benchmarks.studies.loop_worth.policies import Comparison, PolicyResult
from benchmarks.studies.loop_worth.sources import STREAMED_TASKS
from benchmarks.studies.loop_worth.streams import draw_stream
from benchmarks.studies.summary import RESULTS, markdown

DAYS = 30
REQUESTS = {"scales": 300, "ocr": 200, "speech_to_text": 100, "object_detection": 100, "decision": 500}
"""A day, so that a task takes at most 20 minutes on one core."""
_BARS = "▁▂▃▄▅▆▇█"


def recovered_share(results: Sequence[PolicyResult], policy: str = "loop") -> float:
    """Return the share of the gap from never retraining to the oracle that a policy closes."""
    scores = {result.policy: result.score for result in results}
    return (scores[policy] - scores["never"]) / (scores["oracle"] - scores["never"])


def build_section(task: str, results: Sequence[PolicyResult]) -> TableSection:
    """Return the table of all policies."""
    scores = [score for result in results for score in result.daily_scores]
    low, high = min(scores), max(scores)
    rows = [
        (
            result.policy,
            f"{result.score:.4f}",
            f"{recovered_share(results, result.policy):.0%}",
            *map(str, (result.trainings, result.promotions, result.refusals, result.labels)),
            "".join(_BARS[int((score - low) / (high - low or 1) * (len(_BARS) - 1))] for score in result.daily_scores),
        )
        for result in results
    ]
    columns = ("policy", "score", "of the gap", "trainings", "promotions", "refused", "labels", "score by day")
    notes = [f"The loop closes {recovered_share(results):.0%} of the gap. Bars are from {low:.3f} to {high:.3f}."]
    return TableSection(f"The loop's worth: {task}", columns, rows, notes)


def main(
    task: Annotated[str, typer.Argument(help=f"One of {', '.join(STREAMED_TASKS)}.")],
    days: Annotated[int, typer.Option(min=10, help="Simulated days.")] = DAYS,
    requests: Annotated[int | None, typer.Option(min=20, help="Requests a day.")] = None,
    audit_rate: Annotated[float, typer.Option(min=0, max=1, help="Share of the answers that people review.")] = 0.2,
    seed: int = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of the table.")] = False,
) -> None:
    """Simulate, print the table and save it with every figure in benchmarks/results."""
    if task not in STREAMED_TASKS:
        raise typer.BadParameter(f"{task!r} has no stream: name one of {', '.join(STREAMED_TASKS)}")
    console, started = Console(stderr=True, highlight=False), time.monotonic()
    streamed, results = STREAMED_TASKS[task], list[PolicyResult]()
    stream = draw_stream(streamed, days, requests or REQUESTS[task], seed)
    for result in Comparison(streamed, stream, audit_rate, seed).results():
        results.append(result)
        console.print(f"{result.policy}: {result.score:.4f} after {time.monotonic() - started:.0f} s")
    options = {"task": task, "days": days, "requests": len(stream[0]), "seed": seed, "audit_rate": audit_rate}
    document: dict[str, Any] = {
        **options,
        "recovered": recovered_share(results),
        "policies": [{"score": result.score, **asdict(result)} for result in results],
        "seconds": round(time.monotonic() - started, 1),
    }
    table = f"{markdown(build_section(task, results))}\n{options}\n"
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"loop-worth-{task}-{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}.json"
    path.write_text(json.dumps(document, indent=2) + "\n")
    path.with_suffix(".md").write_text(table)
    print(json.dumps(document, indent=2) if as_json else table)
    console.print(f"Saved: {path} and .md", soft_wrap=True)


if __name__ == "__main__":
    typer.run(main)
