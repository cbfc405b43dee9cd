"""The metrics that the platform really exposes, by their names in Prometheus, and the labels that they have."""

import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import yaml
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from app.monitoring import metrics
from app.services.state_metrics import StateMetrics
from app.settings import CHECKOUT, Settings
from tests.support import promql

PROCESSES = ("kafka", "preprocess", "mlserver", "worker", "archive", "recorder", "api")
_SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


_CONTROLLER: Any = SimpleNamespace(models={}, trigger_service=SimpleNamespace(observations={}))
_STATE_METRICS = StateMetrics(Settings(), _CONTROLLER)
_FAMILIES = [*REGISTRY.collect(), *_STATE_METRICS.describe()]

METRIC_NAMES = {one.name + suffix for one in _FAMILIES for suffix in _SUFFIXES.get(one.type, ("",))}
"""Every name of a series."""

_METRICS = [*vars(metrics).values(), *_STATE_METRICS.describe()]
LABEL_NAMES = {label for one in _METRICS for label in getattr(one, "_labelnames", ())}
"""Every label of a metric of ours."""

DOCUMENTED_LABELS = {
    name for row in re.findall(r"^\| ([a-z, ]+) \|", metrics.__doc__ or "", re.MULTILINE) for name in row.split(", ")
} - {"label"}
"""The labels in the metrics' docstring."""


def _listed_metrics(process: str) -> dict[str, set[str]]:
    lines = (CHECKOUT / "docker" / "prometheus" / f"{process}.txt").read_text().splitlines()
    return {name: set(labels) for name, *labels in map(str.split, lines) if name != "#"}


SERVER_METRICS = {process: _listed_metrics(process) for process in ("kafka", "mlserver")}
"""What the servers of others expose, and the labels of it."""


def _own_metrics() -> Iterator[tuple[str, set[str]]]:
    for one in _METRICS:
        if hasattr(one, "_labelnames"):
            [family] = one.describe() if hasattr(one, "describe") else [one]
            for suffix in _SUFFIXES[family.type]:
                yield family.name + suffix, {*one._labelnames, *(["le"] if suffix == "_bucket" else [])}


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
"""By the name of each series that Prometheus has, its labels beside those of its target."""


def all_exist(expression: str) -> bool:
    """Whether there is all that a PromQL expression names."""
    names = promql.metric_names(expression)
    labels = {"job", "instance"}.union(*(LABELS_BY_METRIC.get(name, ()) for name in names))
    return names <= LABELS_BY_METRIC.keys() and promql.label_names(expression) <= labels


async def scrape_metrics(settings: Settings, process: str) -> dict[str, list[dict[str, str]]]:
    """What a process of a running platform exposes: by the name of each series, its labels."""
    port = settings.api_port if process == "api" else getattr(settings, f"{process}_metrics_port")
    async with httpx.AsyncClient(trust_env=False) as http:
        text = (await http.get(f"http://127.0.0.1:{port}/metrics", follow_redirects=True)).raise_for_status().text
    found: dict[str, list[dict[str, str]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found
