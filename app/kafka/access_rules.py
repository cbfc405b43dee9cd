"""The least rights that each process needs at a cluster with access rules, and those of an application of one task.

Each process logs in as a user of its own, `hindsight-worker` for instance. The user of the operator creates topics,
runs `hindsight` commands and so has all rights within the namespace.
"""

from collections.abc import Iterator

from app.events import topics
from app.kafka.admin_requests import AclEntry, Operation
from app.kafka.lag import ARCHIVE_GROUP, PREPROCESS_GROUP, RECORDER_GROUP, WORKER_GROUP
from app.settings import Settings
from app.settings.namespace import qualify

PROCESSES = ("preprocess", "mlserver", "worker", "archive", "recorder", "api")
_GROUPS = {
    "preprocess": PREPROCESS_GROUP,
    "worker": WORKER_GROUP,
    "archive": ARCHIVE_GROUP,
    "recorder": RECORDER_GROUP,
}
_OPERATOR: tuple[Operation, ...] = ("Create", "Read", "Write", "Delete", "Alter", "DescribeConfigs")


def user_of(process: str) -> str:
    """Return the user of a process, of the `operator`, or of the `application-<task>`."""
    return qualify(f"hindsight-{process}")


def rules(settings: Settings) -> dict[str, list[AclEntry]]:
    """Return the rights of each user."""
    readable, writable = _readable(settings), _writable(settings)
    users = {}
    for process in PROCESSES:
        principal = f"User:{user_of(process)}"
        users[user_of(process)] = [
            # Each process waits for all topics.
            *(AclEntry(principal, "Topic", topic.name, "Describe") for topic in topics.required_topics(settings)),
            *(AclEntry(principal, "Topic", topic, "Read") for topic in readable[process]),
            *(AclEntry(principal, "Topic", topic, "Write") for topic in writable[process]),
            *_process_groups(process, principal),
            *(AclEntry(principal, "Topic", topic, "Delete") for topic in _deletable(settings, process)),
        ]
    users[user_of("operator")] = list(_operator(settings))
    for task in settings.tasks:
        users[user_of(f"application-{task}")] = list(_application(task))
    return users


def _readable(settings: Settings) -> dict[str, list[str]]:
    def each(*kinds: str) -> list[str]:
        return [qualify(f"{task}.{kind}") for task in settings.tasks for kind in kinds]

    everything = topics.archived_topics(settings.tasks)
    return {
        "preprocess": each("requests"),
        "mlserver": [topics.LIFECYCLE],
        "worker": [*each("features", "outcomes"), topics.LIFECYCLE],
        "archive": [*everything, *each("joins")],  # it looks for what no group has read
        "recorder": [
            *each("predictions", "feedback", "joins", "outcomes", "shadow-predictions"),
            topics.LIFECYCLE,
            topics.DEAD_LETTERS,
        ],
        "api": [*everything, *each("joins")],
    }


def _writable(settings: Settings) -> dict[str, list[str]]:
    def each(*kinds: str) -> list[str]:
        return [qualify(f"{task}.{kind}") for task in settings.tasks for kind in kinds]

    return {
        "preprocess": [*each("features", "predictions"), topics.DEAD_LETTERS],
        "mlserver": [],
        "worker": [*each("predictions", "shadow-predictions"), topics.DEAD_LETTERS],
        "archive": [topics.DEAD_LETTERS],
        "recorder": [*each("joins", "outcomes"), topics.DEAD_LETTERS],
        # It sends dead letters to their topics again.
        "api": [topic.name for topic in topics.required_topics(settings)],
    }


def _process_groups(process: str, principal: str) -> Iterator[AclEntry]:
    if process in _GROUPS:
        yield AclEntry(principal, "Group", _GROUPS[process], "Read")
    if process in {"archive", "api"}:  # both look at what the groups have committed
        yield from (AclEntry(principal, "Group", group, "Describe") for group in _GROUPS.values())


def _deletable(settings: Settings, process: str) -> list[str]:
    """Return the topics from which the archive deletes records that it holds."""
    names = [topic.name for topic in topics.required_topics(settings) if topic.name != topics.LIFECYCLE]
    return names if process == "archive" else []


def _operator(settings: Settings) -> Iterator[AclEntry]:
    principal = f"User:{user_of('operator')}"
    for topic in topics.required_topics(settings):
        yield from (AclEntry(principal, "Topic", topic.name, operation) for operation in _OPERATOR)
    yield AclEntry(principal, "Group", qualify("hindsight-"), "Read", prefixed=True)


def _application(task: str) -> Iterator[AclEntry]:
    user = user_of(f"application-{task}")
    principal = f"User:{user}"
    yield AclEntry(principal, "Topic", topics.requests(task), "Write")
    yield AclEntry(principal, "Topic", topics.feedback(task), "Write")
    yield AclEntry(principal, "Topic", topics.predictions(task), "Read")
    yield AclEntry(principal, "Group", f"{user}-", "Read", prefixed=True)
    yield AclEntry(principal, "TransactionalId", f"{user}-", "Write", prefixed=True)
