"""The processes of a peer: one consumer on each core."""

import asyncio
import os
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass

from app.settings import CHECKOUT, Settings
from app.system import parent_death
from app.system.environment import process_environment
from benchmarks import kafka_log, resource_usage
from benchmarks.child_process import BenchmarkError, read_tail
from benchmarks.peers import packages
from benchmarks.peers.answerer import peer_topics
from benchmarks.pipeline import TaskTopics

BROKER = "kafka"
STOP_SECONDS = 20.0


@dataclass(frozen=True)
class Peer:
    """A peer: its module, its arguments, and the packages that it needs beside the project's."""

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()


ONE_AT_A_TIME = Peer("aiokafka, one at a time", "aiokafka_peer", ("1",))
IN_BATCHES = Peer("aiokafka, in batches", "aiokafka_peer", ("64",))
QUIX = Peer("Quix Streams", "quix_peer", packages=("quixstreams==3.28.1",))
PEERS = (ONE_AT_A_TIME, IN_BATCHES, QUIX)


@dataclass(frozen=True)
class RunningPeer:
    """The running processes of a peer, and the broker's."""

    settings: Settings
    group: str
    roots: dict[str, int]

    def topics(self, task: str) -> TaskTopics:
        """Return its topics; a peer runs for one task."""
        return peer_topics(self.group)

    def cpu(self) -> resource_usage.CpuTimes:
        """Return the CPU time used so far."""
        return resource_usage.measure_cpu(self.roots)

    def paused(self) -> AbstractContextManager[None]:
        """Stop the consumers for as long as the block lasts."""
        return resource_usage.stopped_trees([pid for name, pid in self.roots.items() if name != BROKER])

    async def settle(self) -> None:
        """Return at once: a peer has no work behind its answers."""


@asynccontextmanager
async def run_peer(
    settings: Settings, peer: Peer, task: str, broker_pid: int, processes: int
) -> AsyncIterator[RunningPeer]:
    """Run a peer's consumers, in one group of their own."""
    group, roots, running = f"peer-{uuid.uuid4()}", {BROKER: broker_pid}, []
    topics = peer_topics(group)
    await kafka_log.create_topics(settings, (topics.requests, topics.answers), settings.partitions)
    environment = process_environment(settings)
    if peer.packages:
        environment["PYTHONPATH"] = str(await asyncio.to_thread(packages.install, settings, peer.packages))
    log = settings.home / "peers.log"
    try:
        with log.open("wb") as output:
            for number in range(processes):
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-I", "-S", parent_death.__file__, str(os.getpid())),
                    *(sys.executable, "-m", f"benchmarks.peers.{peer.module}", task, group, *peer.arguments),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    env=environment,
                    cwd=CHECKOUT,
                )
                running.append(process)
                roots[f"consumer {number + 1}"] = process.pid
        yield RunningPeer(settings, group, roots)
    except BenchmarkError as error:
        raise BenchmarkError(f"{error}; the last output of {peer.name} is:\n{read_tail(log)}") from error
    finally:
        await asyncio.gather(*map(_stop, running))


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
