"""The metrics that the platform exposes, by their names in Prometheus, and their labels."""

import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import yaml
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from app.monitoring import metrics
from app.monitoring.progress import ProgressMonitor
from app.services.state_metrics import StateMetrics
from app.settings import CHECKOUT, Settings
from tests.support import promql

PROCESSES = ("kafka", "preprocess", "mlserver", "worker", "archive", "recorder", "api")
_SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


_CONTROLLER: Any = SimpleNamespace(models={}, trigger_service=SimpleNamespace(observations={}))
_STATE_METRICS = StateMetrics(Settings(), _CONTROLLER, ProgressMonitor(Settings()))
_FAMILIES = [*REGISTRY.collect(), *_STATE_METRICS.describe()]

METRIC_NAMES = {family.name + suffix for family in _FAMILIES for suffix in _SUFFIXES.get(family.type, ("",))}
"""The name of every series."""

_METRICS = [*vars(metrics).values(), *_STATE_METRICS.describe()]
LABEL_NAMES = {label for metric in _METRICS for label in getattr(metric, "_labelnames", ())}
"""Every label of our metrics."""

DOCUMENTED_LABELS = {
    name for row in re.findall(r"^\| ([a-z, ]+) \|", metrics.__doc__ or "", re.MULTILINE) for name in row.split(", ")
} - {"label"}
"""The labels in the docstring of `app.monitoring.metrics`."""


def _listed_metrics(process: str) -> dict[str, set[str]]:
    lines = (CHECKOUT / "docker" / "prometheus" / f"{process}.txt").read_text().splitlines()
    return {name: set(labels) for name, *labels in map(str.split, lines) if name != "#"}


SERVER_METRICS = {process: _listed_metrics(process) for process in ("kafka", "mlserver")}
"""The metrics of third-party servers, and their labels."""


def _own_metrics() -> Iterator[tuple[str, set[str]]]:
    for metric in _METRICS:
        if hasattr(metric, "_labelnames"):
            [family] = metric.describe() if hasattr(metric, "describe") else [metric]
            for suffix in _SUFFIXES[family.type]:
                yield family.name + suffix, {*metric._labelnames, *(["le"] if suffix == "_bucket" else [])}


_RECORDING_RULES = {
    rule["record"]: promql.label_names(rule["expr"])
    for group in yaml.safe_load((CHECKOUT / "docker" / "prometheus" / "rules" / "recording.yml").read_text())["groups"]
    for rule in group["rules"]
}
_PROMETHEUS_METRICS: dict[str, set[str]] = {"up": set(), "ALERTS": {"alertname", "alertstate", "task"}}
_EXTERNAL_METRICS = SERVER_METRICS["kafka"] | SERVER_METRICS["mlserver"]
LABELS_BY_METRIC = (
    {name: set[str]() for name in METRIC_NAMES}
    | dict(_own_metrics())
    | _EXTERNAL_METRICS
    | _RECORDING_RULES
    | _PROMETHEUS_METRICS
)
"""The labels of each series in Prometheus, by its name, without those of its target."""


def all_exist(expression: str) -> bool:
    """Return whether all metrics and labels of a PromQL expression exist."""
    names = promql.metric_names(expression)
    labels = {"job", "instance"}.union(*(LABELS_BY_METRIC.get(name, ()) for name in names))
    return names <= LABELS_BY_METRIC.keys() and promql.label_names(expression) <= labels


async def scrape_metrics(settings: Settings, process: str) -> dict[str, list[dict[str, str]]]:
    """Return the labels of each series that a process of a running platform exposes, by the name of the series."""
    port = settings.api_port if process == "api" else getattr(settings, f"{process}_metrics_port")
    async with httpx.AsyncClient(trust_env=False) as http:
        text = (await http.get(f"http://127.0.0.1:{port}/metrics", follow_redirects=True)).raise_for_status().text
    series: dict[str, list[dict[str, str]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            series.setdefault(sample.name, []).append(sample.labels)
    return series
