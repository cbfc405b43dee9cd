"""More partitions for the topics of a task. Kafka never takes partitions away again."""

from aiokafka.admin import NewPartitions

from app.errors import SetupError
from app.events.topics import required_topics, task_of
from app.kafka import clients
from app.kafka.admin_requests import raise_on_error
from app.kafka.lag import fetch_deployment_lags
from app.settings import Settings

LAG_SECONDS = 20.0


async def grow(settings: Settings, task: str, partitions: int, *, despite_lag: bool = False) -> list[str]:
    """Give each topic of a task so many partitions; return the topics that have grown.

    A key has another partition from then on. Records of a key keep their order only if the older ones are read before
    the newer ones are written: raises `SetupError` while a group has records of the task to read.
    """
    names = [topic.name for topic in required_topics(settings) if task_of(topic.name) == task]
    if not names:
        raise SetupError(f"There is no task {task!r}.", f"Choose from: {', '.join(settings.tasks)}.")
    if not despite_lag:
        await _check_lag(settings, names)
    async with clients.open_admin(settings) as admin:
        described = await admin.describe_topics(names)
        counts = {topic["topic"]: len(topic["partitions"]) for topic in described}
        if too_many := {name: count for name, count in counts.items() if count > partitions}:
            name, count = next(iter(too_many.items()))
            raise SetupError(f"{name} has {count} partitions, and Kafka takes none away.", f"Choose {count} or more.")
        smaller = [name for name in names if counts[name] < partitions]
        if smaller:
            response = await admin.create_partitions({name: NewPartitions(partitions) for name in smaller})
            raise_on_error(
                [(code, f"{name}: {' '.join(map(str, details))}") for name, code, *details in response.topic_errors]
            )
    return smaller


async def _check_lag(settings: Settings, names: list[str]) -> None:
    lags = await fetch_deployment_lags(settings, LAG_SECONDS)
    if isinstance(lags, str):
        raise SetupError(f"It is not known whether the groups have read all: {lags}", "Try again.")
    waiting = sum(lag for by_topic in lags.values() for topic, lag in by_topic.items() if topic in names)
    if waiting:
        raise SetupError(
            f"{waiting} events wait in the topics of the task: later ones of the same keys could overtake them.",
            "Stop the applications and wait, or add --despite-lag if the order of a key does not matter.",
        )
