"""Wait until the log's readers that nobody waits for, the archive and the recorder, have caught up.

Their work for a load ends seconds after the last answer, and belongs to the cost of the load.
"""

import asyncio
import math
import time
from itertools import chain

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from app.kafka import clients, reader
from app.kafka.lag import ARCHIVE_GROUP, RECORDER_GROUP
from app.monitoring.progress import topics_by_group
from app.settings import Settings
from benchmarks.child_process import BenchmarkError

POLL_SECONDS = 0.5
STALLED_SECONDS = 60.0
GROUPS = (ARCHIVE_GROUP, RECORDER_GROUP)


async def wait_until_settled(settings: Settings) -> None:
    """Return once these groups have committed all that is in the log."""
    names = {group: topics_by_group(settings)[group] for group in GROUPS}
    all_partitions = await reader.fetch_partitions(settings, sorted(set(chain.from_iterable(names.values()))))
    partitions = {group: [tp for tp in all_partitions if tp.topic in topics] for group, topics in names.items()}
    consumer = clients.create_consumer(settings)
    consumer.assign(all_partitions)
    async with clients.open_admin(settings) as admin, consumer:
        consumer.pause(*all_partitions)  # only the end offsets are needed
        least_lag, progressed = math.inf, time.monotonic()
        while lag := await _count_uncommitted(admin, consumer, partitions):
            if lag < least_lag:
                least_lag, progressed = lag, time.monotonic()
            if time.monotonic() - progressed > STALLED_SECONDS:
                raise BenchmarkError(f"the archive and the recorder remain {lag} records behind")
            await asyncio.sleep(POLL_SECONDS)


async def _count_uncommitted(
    admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer, partitions: dict[str, list[TopicPartition]]
) -> int:
    ends = await consumer.end_offsets(set(chain.from_iterable(partitions.values())))
    lag = 0
    for group, tps in partitions.items():
        committed = await admin.list_consumer_group_offsets(group)
        lag += sum(max(0, ends[tp] - (committed[tp].offset if tp in committed else 0)) for tp in tps)
    return lag
