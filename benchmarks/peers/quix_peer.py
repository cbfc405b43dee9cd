"""Quix Streams with the model in its process: `python -m benchmarks.peers.quix_peer TASK GROUP`.

A streaming dataframe handles one record at a time. At each checkpoint it awaits its answers' confirmations, and then
commits; checkpoints are as far apart as the platform's commits.
"""

import os

from quixstreams import Application
from quixstreams.kafka import ConnectionConfig

from app.kafka import connection
from app.settings import settings
from benchmarks.peers.answerer import answerer_from_arguments, peer_topics

COMMIT_SECONDS = 0.5


def main() -> None:
    """Consume until SIGTERM."""
    answerer, group = answerer_from_arguments()
    topics = peer_topics(group)
    security = connection.ConnectionSecurity.from_settings(settings())
    application = Application(
        ConnectionConfig(
            bootstrap_servers=settings().platform_bootstrap,
            security_protocol=security.protocol,
            sasl_mechanism=security.mechanism,
            sasl_username=security.username,
            sasl_password=security.password,
        ),
        consumer_group=group,
        auto_offset_reset="earliest",
        commit_interval=COMMIT_SECONDS,
        auto_create_topics=False,
        use_changelog_topics=False,
        state_dir=settings().home / f"quix-{os.getpid()}",
        loglevel="WARNING",
    )
    requests = application.topic(topics.requests, key_deserializer="bytes", value_deserializer="bytes")
    answers = application.topic(topics.answers, key_serializer="bytes", value_serializer="bytes")
    application.dataframe(requests).apply(lambda payload: answerer([payload])[0]).to_topic(answers)
    application.run()


if __name__ == "__main__":
    main()
