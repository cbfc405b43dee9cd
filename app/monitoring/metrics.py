"""The Prometheus metrics of every process. Labels take few values: tasks, stages and codes, never ids."""

from prometheus_client import Counter, Gauge, Histogram, start_http_server

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_BATCH = (1, 2, 4, 8, 16, 32, 64, 128, 256)

REQUESTS = Counter(
    "hindsight_requests_total", "Requests answered, by outcome: predicted or failed.", ["task", "outcome"]
)
ERRORS = Counter("hindsight_errors_total", "Errors met, whether or not a retry helped.", ["task", "stage", "code"])
LATENCY = Histogram(
    "hindsight_latency_seconds",
    "Time of a request in each stage: queued, preprocess, inference; and in total.",
    ["task", "stage"],
    buckets=_SECONDS,
)
BATCH_SIZE = Histogram("hindsight_batch_size", "Events in one call of the model.", ["task"], buckets=_BATCH)
DEAD_LETTERS = Counter("hindsight_dead_letters_total", "Events put into dead-letters.", ["stage", "code"])
FEEDBACK = Counter("hindsight_feedback_total", "Feedback accepted: correction, reward or accepted.", ["task", "kind"])
SKIPPED_FRAMES = Counter("hindsight_skipped_frames_total", "Frames answered unpredicted, for a later one.", ["task"])
SHADOWS = Counter(
    "hindsight_shadow_events_total", "Answered events for a shadow: said or left_out.", ["task", "outcome"]
)
ARCHIVED = Counter("hindsight_archived_events_total", "Events written to the archive.", ["topic"])
ARCHIVE_LOST = Counter(
    "hindsight_archive_lost_events_total", "Events that neither the archive nor Kafka had any more.", ["topic"]
)
ARCHIVE_SECONDS = Histogram("hindsight_archive_commit_seconds", "Time of a commit to the archive.", buckets=_SECONDS)
READY = Gauge("hindsight_ready", "1 when this process does its work, else 0.")


def rejected(task: str, stage: str, code: str) -> None:
    """Counts a request that became a dead letter at this stage."""
    ERRORS.labels(task, stage, code).inc()
    DEAD_LETTERS.labels(stage, code).inc()
    REQUESTS.labels(task, "failed").inc()


def serve(port: int, host: str) -> None:
    """Serves /metrics of this process on host:port, from a thread that ends with the process."""
    start_http_server(port, addr=host)
