"""The story of `app.demo.scenario` as a picture and a page: quality over time, the events marked."""

import html
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from app.demo.scenario import ScenarioResult
from app.demo.timeline import TimelineEvent
from app.demo.traffic import AnsweredRequest

_AVERAGE_ANSWERS = 60
"""In the moving average."""
_BINS = 80
_COLOURS = {"all": "#111827", "usual": "#0f766e", "new": "#b45309"}
_VERSION_COLOURS = ("#cbd5e1", "#0f766e", "#b91c1c", "#7c3aed", "#b45309")
_PLOTTED_EVENTS = ("a new source", "trigger", "gate", "shadow", "canary", "promote", "a spoilt canary", "rollback")


def write_plot(result: ScenarioResult, directory: Path) -> tuple[Path, Path]:
    """`quality.png` and `quality.html` in the directory `out`, which needs nothing from a network."""
    matplotlib.use("agg")
    matplotlib.rcParams["svg.hashsalt"] = result.task  # the same story makes the same file
    figure = _draw_figure(result)
    png, page = directory / "quality.png", directory / "quality.html"
    figure.savefig(png, dpi=110)
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    page.write_text(_render_page(result, drawn.getvalue()))
    return png, page


def _draw_figure(result: ScenarioResult) -> Figure:
    began = min(one.time for one in result.requests)
    figure = Figure(figsize=(12, 6.5), layout="constrained")
    quality, share = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    _draw_quality(quality, result, began)
    _draw_versions(share, result.requests, began)
    share.set_xlabel("seconds")
    figure.suptitle(f"{result.task}: quality while the loop runs by itself", x=0.01, ha="left", fontsize=13)
    return figure


def _draw_quality(axes: Axes, result: ScenarioResult, start: float) -> None:
    groups = {"all": result.requests} | {
        source: [one for one in result.requests if one.source == source] for source in ("usual", "new")
    }
    for name, answered in groups.items():
        ordered = sorted(answered, key=lambda one: one.time)
        if len(ordered) >= _AVERAGE_ANSWERS:
            scores = np.convolve([one.score for one in ordered], np.ones(_AVERAGE_ANSWERS) / _AVERAGE_ANSWERS, "valid")
            times = [one.time - start for one in ordered][_AVERAGE_ANSWERS - 1 :]
            width = 2.2 if name == "all" else 1.0
            axes.plot(times, scores, color=_COLOURS[name], lw=width, label={"all": "all", **_SOURCE_NAMES}[name])
    levels = {"usual": (result.usual, "bottom"), "fallen": (result.fallen, "top"), "regained": (result.regained, "top")}
    for name, (level, side) in levels.items():
        axes.axhline(level, color="#94a3b8", lw=0.7, ls=":")
        axes.annotate(f" {name} {level:.3f}", (1.0, level), xycoords=("axes fraction", "data"), fontsize=8, va=side)
    for number, event in enumerate(_select_events(result.events)):
        axes.axvline(event.time - start, color="#64748b", lw=0.8)
        place = (event.time - start, 0.02 + 0.075 * (number % 5))
        axes.annotate(
            f" {event.title}",
            place,
            xycoords=("data", "axes fraction"),
            fontsize=8,
            color="#334155",
            annotation_clip=True,
        )
    axes.set_ylabel(f"score, mean of {_AVERAGE_ANSWERS} answers")
    axes.set_ylim(0, 1.02)
    axes.legend(loc="lower left", frameon=False, fontsize=8, ncols=3, bbox_to_anchor=(0, 1))
    axes.spines[["top", "right"]].set_visible(False)


_SOURCE_NAMES = {"usual": "usual source", "new": "new source"}


def _draw_versions(axes: Axes, answered: Sequence[AnsweredRequest], start: float) -> None:
    times = np.array([one.time - start for one in answered])
    edges = np.linspace(0, times.max() + 1e-9, _BINS + 1)
    total = np.maximum(np.histogram(times, edges)[0], 1)
    versions = sorted({one.version for one in answered}, key=int)
    shares = [
        np.histogram([one.time - start for one in answered if one.version == version], edges)[0] / total
        for version in versions
    ]
    colours = [_VERSION_COLOURS[number % len(_VERSION_COLOURS)] for number in range(len(versions))]
    axes.stackplot(edges[:-1], *shares, labels=[f"version {one}" for one in versions], colors=colours, step="post")
    axes.set_ylabel("answered by")
    axes.set_ylim(0, 1)
    axes.legend(loc="lower left", frameon=False, fontsize=8, ncols=len(versions), bbox_to_anchor=(0, 0.95))
    axes.spines[["top", "right"]].set_visible(False)


def _select_events(events: Sequence[TimelineEvent]) -> list[TimelineEvent]:
    return [one for one in events if one.title.startswith(_PLOTTED_EVENTS)]


_STYLE = """
:root { color-scheme: light; font: 15px/1.5 system-ui, sans-serif; color: #111827; background: #fff }
body { max-width: 78rem; margin: 2rem auto; padding: 0 1rem } svg { width: 100%; height: auto }
h1 { font-size: 1.3rem } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
td, th { text-align: left; vertical-align: top; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #e5e7eb }
td:first-child { white-space: nowrap; color: #475569 }
"""


def _render_page(result: ScenarioResult, svg: str) -> str:
    began = min(one.time for one in result.requests)
    rows = "".join(
        f"<tr><td>{one.time - began:.0f} s</td><td>{html.escape(one.title)}</td><td>{html.escape(one.detail)}</td></tr>"
        for one in result.events
    )
    title = f"{html.escape(result.task)}: the loop, by itself"
    when = datetime.fromtimestamp(began, UTC).isoformat(timespec="seconds")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"<h1>{title}</h1><p>Began {when}. {html.escape(summarize(result))}</p>{svg[svg.index('<svg') :]}"
        f"<h2>What happened</h2><table><tr><th>when</th><th>what</th><th>figures</th></tr>{rows}</table></html>\n"
    )


def summarize(result: ScenarioResult) -> str:
    """The story in a few sentences."""
    return (
        f"The score was {result.usual:.3f}, fell to {result.fallen:.3f} with the new source, "
        f"and is {result.regained:.3f}"
        f" with version {result.champion}: {result.recovered:.0%} of what was lost is regained."
        f" The spoilt version {result.bad} answered {result.bad_answers} requests, {result.bad_share:.1%} of those"
        f" meanwhile, before it was taken back. {len(result.requests)} requests were answered,"
        f" {result.unanswered} were not, in {result.seconds:.0f} s."
    )
