"""A consumer written by hand: `python -m benchmarks.peers.aiokafka_peer TASK GROUP MAX_RECORDS`.

It answers the records of a fetch as a batch, awaits the confirmation of every answer, and then commits.
"""

import asyncio
import signal
import sys
from itertools import chain

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from app.kafka import connection
from app.settings import MiB, settings
from benchmarks.peers.answerer import Answerer, answerer_from_arguments, peer_topics


async def consume(answerer: Answerer, group: str, max_records: int) -> None:
    """Answer requests until this task is cancelled."""
    topics = peer_topics(group)
    client_options = connection.client_options(settings())
    consumer = AIOKafkaConsumer(
        topics.requests,
        **client_options,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=4 * MiB,
    )
    producer = AIOKafkaProducer(
        **client_options, acks="all", enable_idempotence=True, linger_ms=2 if max_records > 1 else 0
    )
    async with consumer, producer:
        while True:
            records = list(
                chain.from_iterable((await consumer.getmany(timeout_ms=200, max_records=max_records)).values())
            )
            if not records:
                continue
            answers = answerer([record.value for record in records])
            confirmations = [
                await producer.send(topics.answers, answer, record.key)
                for record, answer in zip(records, answers, strict=True)
            ]
            await asyncio.gather(*confirmations)
            await consumer.commit()


async def main() -> None:
    """Consume until SIGTERM."""
    answerer, group = answerer_from_arguments()
    consuming = asyncio.ensure_future(consume(answerer, group, int(sys.argv[3])))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, consuming.cancel)
    await asyncio.gather(consuming, return_exceptions=True)
    if not consuming.cancelled():
        consuming.result()


if __name__ == "__main__":
    asyncio.run(main())
