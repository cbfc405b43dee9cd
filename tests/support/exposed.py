"""The metrics that the platform really exposes, by their names in Prometheus, and the labels that they have."""

import re
from types import SimpleNamespace
from typing import Any

from prometheus_client import REGISTRY

from app.monitoring import metrics
from app.monitoring.watching import Watching
from app.settings import CHECKOUT, Settings

_SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


_CONTROLLER: Any = SimpleNamespace(models={}, triggering=SimpleNamespace(seen={}))
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

SERVERS = {
    line.split()[0]
    for line in (CHECKOUT / "docker" / "prometheus" / "mlserver.txt").read_text().splitlines()
    if line and not line.startswith("#")
}
"""What MLServer exposes."""
