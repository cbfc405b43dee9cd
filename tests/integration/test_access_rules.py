"""The platform at a cluster with access rules, each process as its own user with the rights of `--emit acls`."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import GroupAuthorizationFailedError, TopicAuthorizationFailedError

from app.client import Hindsight
from app.embedded.api_readiness import api_url
from app.events import topics
from app.kafka import clients
from app.kafka.access_rules import rules, user_of
from app.kafka.connection import application_options
from app.kafka.provisioning import provision
from app.settings import CHECKOUT, Settings
from app.system.environment import process_environment
from tests.support.platform import platform_settings
from tests.support.secured_broker import SecuredBroker, run_secured_broker

pytestmark = [pytest.mark.soak, pytest.mark.timeout(400)]

TASKS = {"letters": "tests.support.tasks:Letters", "ocr": "models.small.ocr:Ocr"}
COMMANDS = {
    "mlserver": ["app.inference.mlserver.server"],
    "preprocess": ["app.preprocess"],
    "worker": ["app.worker", "inference"],
    "archive": ["app.worker", "archive"],
    "recorder": ["app.worker", "recorder"],
    "api": ["app.api"],
}


@pytest.fixture(scope="module")
async def broker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SecuredBroker]:
    async with run_secured_broker(tmp_path_factory.mktemp("acls")) as running:
        yield running


@pytest.fixture(scope="module")
async def config(broker: SecuredBroker, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The settings of a deployment whose topics its operator has created, as `hindsight topics` does."""
    home = tmp_path_factory.mktemp("platform")
    settings = platform_settings(home, tasks=TASKS, archive_seconds=0.5, **broker.variables)
    users = rules(settings)
    await broker.set_passwords({user: f"{user}-secret" for user in users})
    await broker.allow(entry for entries in users.values() for entry in entries)
    await provision(broker.settings_of(settings, user_of("operator")))
    return settings


@contextmanager
def run_each_as_its_user(broker: SecuredBroker, config: Settings) -> Iterator[Path]:
    """Run the processes. Yield the folder of their logs."""
    config.home.mkdir(parents=True, exist_ok=True)
    running = []
    for name, words in COMMANDS.items():
        environment = process_environment(broker.settings_of(config, user_of(name)))
        with (config.home / f"{name}.log").open("wb") as log:
            command = [sys.executable, "-m", *words]
            running.append(subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdout=log, stderr=log))
    try:
        yield config.home
    finally:
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            process.wait(60)


async def test_every_process_does_its_work_with_its_own_user(broker: SecuredBroker, config: Settings) -> None:
    application = broker.settings_of(config, user_of("application-letters"))
    with run_each_as_its_user(broker, config) as logs:
        try:
            async with (
                asyncio.timeout(200),
                Hindsight(config.bootstrap, source="shop", kafka=application_options(application)) as client,
                httpx.AsyncClient(base_url=api_url(config), trust_env=False) as api,
            ):
                prediction = await client.predict("letters", b"abc", timeout=180)
                await client.feedback(prediction.prediction_id, correction=prediction.output)
                await wait_until_corrected(api, prediction.prediction_id)
                while (await api.get("/readyz")).status_code != 200:  # it knows the lag of each group
                    await asyncio.sleep(1)
        except BaseException:
            for name in COMMANDS:
                print(f"--- {name}", (logs / f"{name}.log").read_text()[-3000:])
            raise
        refusals = [
            f"{name}: {line}"
            for name in COMMANDS
            for line in (logs / f"{name}.log").read_text(errors="replace").splitlines()
            if "uthorization" in line
        ]
        assert refusals == []


async def wait_until_corrected(api: httpx.AsyncClient, prediction_id: str) -> None:
    """Wait until the catalog has the prediction's feedback: the recorder has joined and recorded it."""
    while True:
        try:
            response = await api.get(f"/v1/predictions/{prediction_id}")
        except httpx.TransportError:
            response = None
        if response is not None and response.is_success and response.json()["feedback"] and response.json()["outcome"]:
            return
        await asyncio.sleep(0.5)


async def test_an_application_can_do_no_more_than_its_task_needs(broker: SecuredBroker, config: Settings) -> None:
    settings = broker.settings_of(config, user_of("application-letters"))
    options = application_options(settings)
    async with AIOKafkaProducer(**options) as producer:
        await producer.send_and_wait(topics.feedback("letters"), b"{}")
        for topic in (topics.predictions("letters"), topics.requests("ocr"), topics.LIFECYCLE):
            with pytest.raises(TopicAuthorizationFailedError):
                await producer.send_and_wait(topic, b"{}")
    for topic in (topics.predictions("ocr"), topics.requests("letters"), topics.outcomes("letters")):
        consumer = AIOKafkaConsumer(topic, **options)
        with pytest.raises(TopicAuthorizationFailedError):
            await consumer.start()
            await consumer.getone()
        await consumer.stop()
    consumer = clients.create_consumer(settings, topics.predictions("letters"), group_id="hindsight-worker")
    with pytest.raises(GroupAuthorizationFailedError):
        await consumer.start()


async def test_a_process_can_write_to_its_own_topics_only(broker: SecuredBroker, config: Settings) -> None:
    for process, topic in (
        ("preprocess", topics.outcomes("ocr")),
        ("worker", topics.features("ocr")),
        ("archive", topics.requests("ocr")),
        ("recorder", topics.predictions("ocr")),
    ):
        async with clients.create_producer(broker.settings_of(config, user_of(process))) as producer:
            with pytest.raises(TopicAuthorizationFailedError):
                await producer.send_and_wait(topic, b"{}")
