"""How far behind the end of the log the consumer groups are."""

from collections.abc import Iterable, Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import UnknownTopicOrPartitionError


async def lags(bootstrap: str, topics: Iterable[str], groups: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """The events that each group has still to commit, summed over its topics.

    `topics` are those that must exist, the groups' among them: raises UnknownTopicOrPartitionError for one that
    doesn't, KafkaConnectionError without a broker. What a group has never committed counts from the log's start.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    try:
        await admin.start()
        described = await admin.describe_topics(sorted(set(topics)))
        if missing := [topic["topic"] for topic in described if topic["error_code"]]:
            raise UnknownTopicOrPartitionError(f"missing topics: {', '.join(missing)}")
        partitions = {
            topic["topic"]: [
                TopicPartition(topic["topic"], partition["partition"]) for partition in topic["partitions"]
            ]
            for topic in described
        }
        wanted = {group: [tp for topic in of for tp in partitions[topic]] for group, of in groups.items()}
        consumer.assign([tp for tps in wanted.values() for tp in tps])
        await consumer.start()
        ends = await consumer.end_offsets(consumer.assignment())
        starts = await consumer.beginning_offsets(consumer.assignment())
        committed = {group: await admin.list_consumer_group_offsets(group) for group in groups}
    finally:
        await consumer.stop()
        await admin.close()

    def done(group: str, tp: TopicPartition) -> int:
        offset = committed[group][tp].offset if tp in committed[group] else -1
        return int(max(offset, starts[tp]))

    return {group: sum(max(0, ends[tp] - done(group, tp)) for tp in tps) for group, tps in wanted.items()}
