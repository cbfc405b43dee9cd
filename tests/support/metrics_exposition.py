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
from app.services.state_metrics import Watching
from app.settings import CHECKOUT, Settings
from tests.support import promql

PROCESSES = ("kafka", "preprocess", "mlserver", "worker", "archive", "recorder", "api")
_SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


_CONTROLLER: Any = SimpleNamespace(models={}, trigger_service=SimpleNamespace(observations={}))
_WATCHING = Watching(Settings(), _CONTROLLER)
_FAMILIES = [*REGISTRY.collect(), *_WATCHING.describe()]

NAMES = {one.name + suffix for one in _FAMILIES for suffix in _SUFFIXES.get(one.type, ("",))}
"""Every name of a series."""

_METRICS = [*vars(metrics).values(), *_WATCHING.describe()]
LABELS = {label for one in _METRICS for label in getattr(one, "_labelnames", ())}
"""Every label of a metric of ours."""

DOCUMENTED = {
    name for row in re.findall(r"^\| ([a-z, ]+) \|", metrics.__doc__ or "", re.MULTILINE) for name in row.split(", ")
} - {"label"}
"""The labels in the metrics' docstring."""


def _listed(process: str) -> dict[str, set[str]]:
    lines = (CHECKOUT / "docker" / "prometheus" / f"{process}.txt").read_text().splitlines()
    return {name: set(labels) for name, *labels in map(str.split, lines) if name != "#"}


SERVERS = {process: _listed(process) for process in ("kafka", "mlserver")}
"""What the servers of others expose, and the labels of it."""


def _own() -> Iterator[tuple[str, set[str]]]:
    for one in _METRICS:
        if hasattr(one, "_labelnames"):
            [family] = one.describe() if hasattr(one, "describe") else [one]
            for suffix in _SUFFIXES[family.type]:
                yield family.name + suffix, {*one._labelnames, *(["le"] if suffix == "_bucket" else [])}


_RECORDED = {
    rule["record"]: promql.labels(rule["expr"])
    for group in yaml.safe_load((CHECKOUT / "docker" / "prometheus" / "rules" / "recording.yml").read_text())["groups"]
    for rule in group["rules"]
}
_OF_PROMETHEUS: dict[str, set[str]] = {"up": set(), "ALERTS": {"alertname", "alertstate", "task"}}
_OF_SERVERS = SERVERS["kafka"] | SERVERS["mlserver"]
LABELS_OF = {name: set[str]() for name in NAMES} | dict(_own()) | _OF_SERVERS | _RECORDED | _OF_PROMETHEUS
"""By the name of each series that Prometheus has, its labels beside those of its target."""


def exist(expression: str) -> bool:
    """Whether there is all that a PromQL expression names."""
    names = promql.metrics(expression)
    labels = {"job", "instance"}.union(*(LABELS_OF.get(name, ()) for name in names))
    return names <= LABELS_OF.keys() and promql.labels(expression) <= labels


async def exposed(settings: Settings, process: str) -> dict[str, list[dict[str, str]]]:
    """What a process of a running platform exposes: by the name of each series, its labels."""
    port = settings.api_port if process == "api" else getattr(settings, f"{process}_metrics_port")
    async with httpx.AsyncClient(trust_env=False) as http:
        text = (await http.get(f"http://127.0.0.1:{port}/metrics", follow_redirects=True)).raise_for_status().text
    found: dict[str, list[dict[str, str]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found
