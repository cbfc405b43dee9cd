"""How far into the log a version has learned."""

from datetime import UTC, datetime

from app.events.model_events import DatasetBuilt
from app.registry.registry import TaskModels


def learned_until(models: TaskModels, version: str) -> datetime | None:
    """Return the time until which all requests and feedback in the log were in a version's training; None for none.

    It is the end of its run's dataset. A version that no run trained knows what its parent does.
    """
    for _ in models.registered:  # a bound for versions that are each other's parents
        if version not in models.registered:
            return None
        registration = models.registered[version].registration
        assert registration is not None
        run = models.runs.get(registration.run_id or "")
        if run is not None and run.dataset is not None and run.dataset.content_hash == registration.dataset:
            return _end_of(run.dataset)
        if registration.parent is None:
            return None
        version = registration.parent
    return None


def _end_of(dataset: DatasetBuilt) -> datetime | None:
    """Return the earlier of the times that bound a dataset's requests and its feedback."""
    arguments = dataset.manifest.get("arguments")
    times = [arguments.get(name) for name in ("as_of", "to")] if isinstance(arguments, dict) else []
    try:
        return min((datetime.fromisoformat(time).astimezone(UTC) for time in times if time is not None), default=None)
    except (TypeError, ValueError, OverflowError):  # anyone with access to Kafka can write a manifest
        return None
