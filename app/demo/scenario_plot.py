"""The result of `app.demo.scenario` as a picture and a page: quality over time, with the events marked."""

import html
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from app.demo.scenario_result import ScenarioResult
from app.demo.timeline import TimelineEvent
from app.demo.traffic import AnsweredRequest

_AVERAGE_ANSWERS = 60
"""Number of answers in the moving average."""
_BINS = 80
_COLOURS = {"all": "#111827", "baseline": "#0f766e", "new": "#b45309"}
_LABELS = {"all": "all", "baseline": "baseline source", "new": "new source"}
_VERSION_COLOURS = ("#cbd5e1", "#0f766e", "#b91c1c", "#7c3aed", "#b45309")
_PLOTTED_EVENTS = ("a new source", "trigger", "gate", "shadow", "canary", "promote", "a faulty canary", "rollback")


def write_plot(result: ScenarioResult, directory: Path) -> tuple[Path, Path]:
    """Write `quality.png` and `quality.html`, a page that loads nothing from a network, and return their paths."""
    matplotlib.use("agg")
    matplotlib.rcParams["svg.hashsalt"] = result.task  # the same result makes the same file
    figure = _draw_figure(result)
    png, page = directory / "quality.png", directory / "quality.html"
    figure.savefig(png, dpi=110)
    svg = io.StringIO()
    figure.savefig(svg, format="svg", metadata={"Date": None})
    page.write_text(_render_page(result, svg.getvalue()))
    return png, page


def _draw_figure(result: ScenarioResult) -> Figure:
    start = min(request.time for request in result.requests)
    figure = Figure(figsize=(12, 6.5), layout="constrained")
    quality, share = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    _draw_quality(quality, result, start)
    _draw_versions(share, result.requests, start)
    share.set_xlabel("seconds")
    figure.suptitle(f"{result.task}: quality in the automatic learning loop", x=0.01, ha="left", fontsize=13)
    return figure


def _draw_quality(axes: Axes, result: ScenarioResult, start: float) -> None:
    groups = {"all": result.requests} | {
        source: [request for request in result.requests if request.source == source] for source in ("baseline", "new")
    }
    for name, requests in groups.items():
        ordered = sorted(requests, key=lambda request: request.time)
        if len(ordered) >= _AVERAGE_ANSWERS:
            weights = np.ones(_AVERAGE_ANSWERS) / _AVERAGE_ANSWERS
            scores = np.convolve([request.score for request in ordered], weights, "valid")
            times = [request.time - start for request in ordered][_AVERAGE_ANSWERS - 1 :]
            width = 2.2 if name == "all" else 1.0
            axes.plot(times, scores, color=_COLOURS[name], lw=width, label=_LABELS[name])
    levels = {
        "baseline": (result.baseline_score, "bottom"),
        "with drift": (result.drifted_score, "top"),
        "regained": (result.regained_score, "top"),
    }
    for name, (level, side) in levels.items():
        axes.axhline(level, color="#94a3b8", lw=0.7, ls=":")
        axes.annotate(f" {name} {level:.3f}", (1.0, level), xycoords=("axes fraction", "data"), fontsize=8, va=side)
    for number, event in enumerate(_select_events(result.events)):
        axes.axvline(event.time - start, color="#64748b", lw=0.8)
        position = (event.time - start, 0.02 + 0.075 * (number % 5))
        axes.annotate(
            f" {event.title}",
            position,
            xycoords=("data", "axes fraction"),
            fontsize=8,
            color="#334155",
            annotation_clip=True,
        )
    axes.set_ylabel(f"score, mean of {_AVERAGE_ANSWERS} answers")
    axes.set_ylim(0, 1.02)
    axes.legend(loc="lower left", frameon=False, fontsize=8, ncols=3, bbox_to_anchor=(0, 1))
    axes.spines[["top", "right"]].set_visible(False)


def _draw_versions(axes: Axes, requests: Sequence[AnsweredRequest], start: float) -> None:
    times = np.array([request.time - start for request in requests])
    edges = np.linspace(0, times.max() + 1e-9, _BINS + 1)
    total = np.maximum(np.histogram(times, edges)[0], 1)
    versions = sorted({request.version for request in requests}, key=int)
    shares = [
        np.histogram([request.time - start for request in requests if request.version == version], edges)[0] / total
        for version in versions
    ]
    colours = [_VERSION_COLOURS[number % len(_VERSION_COLOURS)] for number in range(len(versions))]
    labels = [f"version {version}" for version in versions]
    axes.stackplot(edges[:-1], *shares, labels=labels, colors=colours, step="post")
    axes.set_ylabel("answered by")
    axes.set_ylim(0, 1)
    axes.legend(loc="lower left", frameon=False, fontsize=8, ncols=len(versions), bbox_to_anchor=(0, 0.95))
    axes.spines[["top", "right"]].set_visible(False)


def _select_events(events: Sequence[TimelineEvent]) -> list[TimelineEvent]:
    return [event for event in events if event.title.startswith(_PLOTTED_EVENTS)]


_STYLE = """
:root { color-scheme: light; font: 15px/1.5 system-ui, sans-serif; color: #111827; background: #fff }
body { max-width: 78rem; margin: 2rem auto; padding: 0 1rem } svg { width: 100%; height: auto }
h1 { font-size: 1.3rem } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
td, th { text-align: left; vertical-align: top; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #e5e7eb }
td:first-child { white-space: nowrap; color: #475569 }
"""


def _render_page(result: ScenarioResult, svg: str) -> str:
    start = min(request.time for request in result.requests)
    rows = "".join(
        f"<tr><td>{event.time - start:.0f} s</td><td>{html.escape(event.title)}</td>"
        f"<td>{html.escape(event.detail)}</td></tr>"
        for event in result.events
    )
    title = f"{html.escape(result.task)}: the automatic learning loop"
    start_time = datetime.fromtimestamp(start, UTC).isoformat(timespec="seconds")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"<h1>{title}</h1><p>Start: {start_time}. {html.escape(summarize(result))}</p>{svg[svg.index('<svg') :]}"
        f"<h2>Events</h2><table><tr><th>time</th><th>event</th><th>details</th></tr>{rows}</table></html>\n"
    )


def summarize(result: ScenarioResult) -> str:
    """Return the result in a few sentences."""
    return (
        f"The score was {result.baseline_score:.3f}, fell to {result.drifted_score:.3f} with the new source,"
        f" and is {result.regained_score:.3f} with version {result.champion}:"
        f" {result.recovered:.0%} of the loss is regained."
        f" The faulty version {result.faulty_version} answered {result.faulty_answers} requests,"
        f" {result.faulty_share:.1%} of all in that time, before it was rolled back."
        f" {len(result.requests)} requests were answered, {result.unanswered} were not, in {result.seconds:.0f} s."
    )
