"""Prometheus metrics that processes count. `app.services.state_metrics` has those that are read from state.

The series of each metric are bounded. The labels, and their bounds:

| label | values |
|---|---|
| task | the tasks of the settings |
| version | the versions of the task's route: `set_route` removes all others. Empty before a version is called |
| role | champion, canary, shadow; empty as above |
| stage | of latency: queued, preprocess, inference, total. Of errors: the stage of processing |
| outcome, kind | those in the metric's description |
| code | constants in the source (a test checks it), and codes of custom tasks: beyond MAX_CODES all are `other` |
| topic, group | those of the tasks, `lifecycle` and `dead-letters`; the four consumer groups |
| feature, detector | of drift: the features that the task declares, and at most `drift_features.MAX_CLASSES` classes |
| feature | of unknown values: those that the task's `unknown_values` names, constants of its schema |
| directory | home |
"""

from collections.abc import Mapping
from pathlib import Path

from prometheus_client import Counter, Gauge, Histogram, start_http_server

from app.system import disk

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_BATCH = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_DELAYS = (1, 10, 60, 600, 3600, 6 * 3600, 24 * 3600, 7 * 24 * 3600, 30 * 24 * 3600)
MAX_CODES = 150

REQUESTS = Counter(
    "hindsight_requests_total",
    "Requests answered, by outcome: predicted or failed.",
    ["task", "version", "role", "outcome"],
)
ERRORS = Counter("hindsight_errors_total", "Events that could not be processed.", ["task", "stage", "code"])
LATENCY = Histogram(
    "hindsight_latency_seconds",
    "Time of a request in each stage: queued, preprocess, inference; and in total. Of shadows: inference.",
    ["task", "version", "role", "stage"],
    buckets=_SECONDS,
)
BATCH_SIZE = Histogram("hindsight_batch_size", "Events in one call of the model.", ["task", "version"], buckets=_BATCH)
FLOOR_HITS = Counter(
    "hindsight_propensity_floor_hits_total",
    "Predictions whose propensity is the least that the task's policy gives to any output.",
    ["task", "version", "role"],
)
UNKNOWN_VALUES = Counter(
    "hindsight_unknown_values_total",
    "Values of answered requests that the model does not know: categories that it was not trained on.",
    ["task", "feature"],
)
MEMORY = Counter(
    "hindsight_memory_answers_total",
    "Remembered corrections instead of the model's output: answered; and outcomes that say so: right or wrong.",
    ["task", "outcome"],
)
SHADOWS = Counter(
    "hindsight_shadow_events_total", "Answered events for a shadow: said or left_out.", ["task", "version", "outcome"]
)
SKIPPED_FRAMES = Counter("hindsight_skipped_frames_total", "Frames answered unpredicted, for a later one.", ["task"])
DEAD_LETTERS = Counter("hindsight_dead_letters_total", "Events put into dead-letters.", ["task", "stage"])
FEEDBACK = Counter(
    "hindsight_feedback_total",
    "Feedback from all sources: correction, reward, accepted or preference; retracts counts its retractions.",
    ["task", "kind"],
)
FEEDBACK_DELAY = Histogram(
    "hindsight_feedback_delay_seconds", "Time from a prediction to its feedback.", ["task"], buckets=_DELAYS
)
ARCHIVED = Counter("hindsight_archived_events_total", "Events written to the archive.", ["topic"])
ARCHIVE_LOST = Counter(
    "hindsight_archive_lost_events_total", "Events that were in neither the archive nor Kafka any more.", ["topic"]
)
ARCHIVE_SECONDS = Histogram("hindsight_archive_commit_seconds", "Time of a commit to the archive.", buckets=_SECONDS)
TRIGGER_FAILURES = Counter(
    "hindsight_trigger_failures_total", "Failed evaluations of a task's triggers, run and rollout.", ["task"]
)
WORKERS_KILLED = Counter(
    "hindsight_preprocess_workers_killed_total",
    "Worker processes that died of a payload or exceeded its deadline.",
    ["task", "code"],
)
JOB_READY = Gauge("hindsight_preprocess_ready", "1 while the task's Flink job runs, else 0.", ["task"])
JOB_RESTARTS = Gauge("hindsight_preprocess_job_restarts", "Restarts of the task's job.", ["task"])
READY = Gauge("hindsight_ready", "1 when this process does its work, else 0.")
DISK_FREE = Gauge("hindsight_disk_free_bytes", "Free on the disk of a directory: HINDSIGHT_HOME.", ["directory"])
DISK_SIZE = Gauge("hindsight_disk_size_bytes", "Size of the disk of a directory: HINDSIGHT_HOME.", ["directory"])

_VERSION_METRICS = (REQUESTS, LATENCY, BATCH_SIZE, FLOOR_HITS, SHADOWS)
_VERSION_LABELS = ("task", "version", "role")
_codes: set[str] = set()


def count_failure(task: str, stage: str, code: str) -> None:
    """Count an event that became a dead letter at this stage, and is not a request or has no answer."""
    if code not in _codes and len(_codes) >= MAX_CODES:
        code = "other"
    _codes.add(code)
    ERRORS.labels(task, stage, code).inc()
    DEAD_LETTERS.labels(task, stage).inc()


def count_rejection(task: str, stage: str, code: str, version: str = "", role: str = "") -> None:
    """Count a request that became a dead letter at this stage, with the version that was called, if any."""
    count_failure(task, stage, code)
    REQUESTS.labels(task, version, role, "failed").inc()


def count_unknown_values(task: str, values: Mapping[str, int]) -> None:
    """Count the values of a request that its model does not know, by feature."""
    for feature, count in values.items():
        UNKNOWN_VALUES.labels(task, feature).inc(count)


def init_counters(task: str, *stages: str) -> None:
    """Create a task's counters of these stages at 0: Prometheus sees no increase in the first value of a series."""
    for stage in stages:
        DEAD_LETTERS.labels(task, stage)


def init_memory(task: str) -> None:
    """Create the counters of a task's memory of corrections at 0."""
    for outcome in ("answered", "right", "wrong"):
        MEMORY.labels(task, outcome)


def count_remembered(task: str, right: bool) -> None:
    """Count an outcome of a remembered correction, by what people say of it."""
    MEMORY.labels(task, "right" if right else "wrong").inc()


def set_route(task: str, roles: Mapping[str, str]) -> None:
    """Set the versions of a task's route and their roles: remove the series of all other versions and roles."""
    for metric in _VERSION_METRICS:
        for labels in [sample.labels for family in metric.collect() for sample in family.samples]:
            version, role = labels["version"], roles.get(labels["version"])
            if labels["task"] == task and version and (role is None or labels.get("role", role) != role):
                metric.remove_by_labels({name: labels[name] for name in _VERSION_LABELS if name in labels})
    for version, role in roles.items():
        if role != "shadow":
            for outcome in ("predicted", "failed"):
                REQUESTS.labels(task, version, role, outcome)


def serve(port: int, host: str, home: Path) -> None:
    """Serve /metrics of this process on host:port, from a daemon thread."""
    watch_disk(home)
    start_http_server(port, addr=host)


def watch_disk(home: Path) -> None:
    """Export the size and the free space of the disk that holds the home, measured at each scrape."""
    DISK_FREE.labels("home").set_function(lambda: disk.free(home))
    DISK_SIZE.labels("home").set_function(lambda: disk.size(home))
