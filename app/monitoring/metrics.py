"""The Prometheus metrics that processes count, by what passes through them. What is read from state: `watching.py`.

No metric's series grow without bound. The labels, and what bounds them:

| label | values |
|---|---|
| task | the tasks of the settings |
| version | those that the task's route has: `routed` removes all others. Empty before a version is asked |
| role | champion, canary, shadow; empty as above |
| stage | of latency: queued, preprocess, inference, total. Of errors: where in the way of an event |
| outcome, kind | those named in the metric's description |
| code | words in the source (a test says so); of tasks of one's own, MOST_CODES at most: all further ones are `other` |
| topic, group | those of the tasks, `lifecycle` and `dead-letters`; the four consumer groups |
| feature, detector | of drift: the numbers that the task declares, and as many classes as `samples.MOST_CLASSES` says |
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
SHADOWS = Counter(
    "hindsight_shadow_events_total", "Answered events for a shadow: said or left_out.", ["task", "version", "outcome"]
)
SKIPPED_FRAMES = Counter("hindsight_skipped_frames_total", "Frames answered unpredicted, for a later one.", ["task"])
DEAD_LETTERS = Counter("hindsight_dead_letters_total", "Events put into dead-letters.", ["task", "stage"])
FEEDBACK = Counter(
    "hindsight_feedback_total", "Feedback heard, however it came: correction, reward or accepted.", ["task", "kind"]
)
FEEDBACK_DELAY = Histogram(
    "hindsight_feedback_delay_seconds", "Time from a prediction to what is said of it.", ["task"], buckets=_DELAYS
)
ARCHIVED = Counter("hindsight_archived_events_total", "Events written to the archive.", ["topic"])
ARCHIVE_LOST = Counter(
    "hindsight_archive_lost_events_total", "Events that neither the archive nor Kafka had any more.", ["topic"]
)
ARCHIVE_SECONDS = Histogram("hindsight_archive_commit_seconds", "Time of a commit to the archive.", buckets=_SECONDS)
TRIGGER_FAILURES = Counter(
    "hindsight_trigger_failures_total", "Looks at a task's triggers, run and rollout that failed.", ["task"]
)
WORKERS_KILLED = Counter(
    "hindsight_preprocess_workers_killed_total",
    "Worker processes that died of a payload or exceeded its deadline.",
    ["task", "code"],
)
JOB_READY = Gauge("hindsight_preprocess_ready", "1 while the task's Flink job runs, else 0.", ["task"])
JOB_RESTARTS = Gauge("hindsight_preprocess_job_restarts", "Times that the task's job was started anew.", ["task"])
READY = Gauge("hindsight_ready", "1 when this process does its work, else 0.")
DISK_FREE = Gauge("hindsight_disk_free_bytes", "Free on the disk of a directory: HINDSIGHT_HOME.", ["directory"])
DISK_SIZE = Gauge("hindsight_disk_size_bytes", "Size of the disk of a directory: HINDSIGHT_HOME.", ["directory"])

_VERSION_METRICS = (REQUESTS, LATENCY, BATCH_SIZE, FLOOR_HITS, SHADOWS)
_VERSION_LABELS = ("task", "version", "role")
_codes: set[str] = set()


def count_failure(task: str, stage: str, code: str) -> None:
    """Counts an event that became a dead letter at this stage, and is no request or is answered by nobody."""
    if code not in _codes and len(_codes) >= MAX_CODES:
        code = "other"
    _codes.add(code)
    ERRORS.labels(task, stage, code).inc()
    DEAD_LETTERS.labels(task, stage).inc()


def count_rejection(task: str, stage: str, code: str, version: str = "", role: str = "") -> None:
    """Counts a request that became a dead letter at this stage, of the version that was asked if one was."""
    count_failure(task, stage, code)
    REQUESTS.labels(task, version, role, "failed").inc()


def init_counters(task: str, *stages: str) -> None:
    """Makes a task's counters of these stages, at 0: Prometheus sees no increase from nothing to something."""
    for stage in stages:
        DEAD_LETTERS.labels(task, stage)


def set_route(task: str, roles: Mapping[str, str]) -> None:
    """A task's route has these versions now, in these roles: series of any other version or role are removed."""
    for metric in _VERSION_METRICS:
        found = [sample.labels for family in metric.collect() for sample in family.samples]
        for labels in found:
            version, role = labels["version"], roles.get(labels["version"])
            if labels["task"] == task and version and (role is None or labels.get("role", role) != role):
                metric.remove_by_labels({name: labels[name] for name in _VERSION_LABELS if name in labels})
    for version, role in roles.items():
        if role != "shadow":
            for outcome in ("predicted", "failed"):
                REQUESTS.labels(task, version, role, outcome)


def serve(port: int, host: str, home: Path) -> None:
    """Serves /metrics of this process on host:port, from a thread that ends with the process."""
    watch_disk(home)
    start_http_server(port, addr=host)


def watch_disk(home: Path) -> None:
    """Says of the disk that holds the home how large it is, and how much is free, whenever it is asked."""
    DISK_FREE.labels("home").set_function(lambda: disk.free(home))
    DISK_SIZE.labels("home").set_function(lambda: disk.size(home))
