"""Namespaces: two deployments on one cluster and one bucket do not see each other."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.client import Hindsight
from app.embedded import ports
from app.eventlog.archive import Archive
from app.kafka import clients, platform_secret
from app.kafka.connection import client_options
from app.settings import CHECKOUT, Settings
from app.system.environment import process_environment
from tests.support.commands import CommandResult, run_hindsight
from tests.support.platform import platform_settings

NAMES = """
import json
from app.contract.asyncapi import build_document
from app.events import topics
from app.kafka import lag
from app.services import feedback
from app.settings import Settings
from app.tasks import load_tasks
settings = Settings(tasks={"ocr": "models.small.ocr:Ocr"}, blob_url="s3://bucket/prefix/")
channels = [channel["address"] for channel in build_document(settings, load_tasks(settings))["channels"].values()]
names = [*(topic.name for topic in topics.required_topics(settings)), *channels, lag.WORKER_GROUP, feedback.SOURCE]
print(json.dumps([names, settings.blob_store_url, topics.task_of("blue.ocr.requests")]))
"""


def test_each_name_on_the_cluster_and_in_the_bucket_is_in_the_namespace(brokerless: Settings) -> None:
    environment = process_environment(brokerless) | {"HINDSIGHT_NAMESPACE": "blue"}
    command = [sys.executable, "-c", NAMES]
    out = subprocess.run(command, capture_output=True, text=True, check=True, cwd=CHECKOUT, env=environment).stdout
    names, blob_url, task = json.loads(out)
    assert {name.partition(".")[0] for name in names} == {"blue"}
    assert {"blue.ocr.requests", "blue.hindsight-worker", "blue.hindsight/api"} <= set(names)
    assert (blob_url, task) == ("s3://bucket/prefix/blue", "ocr")


def test_a_process_cannot_change_its_namespace() -> None:
    with pytest.raises(ValidationError, match="set HINDSIGHT_NAMESPACE before its start"):
        Settings(namespace="blue")


async def test_two_namespaces_on_one_cluster_do_not_see_each_other(platform: Settings, tmp_path: Path) -> None:
    """Each has one request and its own archive, in one blob storage."""
    config = platform_settings(
        tmp_path,
        tasks={"letters": "tests.support.tasks:Letters"},
        kafka_bootstrap=platform.platform_bootstrap,
        kafka_security_protocol="SASL_PLAINTEXT",
        kafka_sasl_username=platform_secret.USERNAME,
        kafka_sasl_password=platform_secret.load_or_create_password(platform.home),
        replication=1,
        single_host=True,
        blob_url=(tmp_path / "blobs").as_uri(),
        archive_seconds=0.2,
    )
    await asyncio.gather(*(archive_one_request(config, namespace) for namespace in ("blue", "green")))
    for namespace in ("blue", "green"):
        view = config.model_copy(update={"namespace": namespace})
        table = Archive(view).table(f"{namespace}.letters.requests")
        assert table is not None
        assert table.to_pyarrow_table(columns=["data"]).to_pydict() == {"data": [namespace.encode()]}


async def archive_one_request(config: Settings, namespace: str) -> None:
    """Create the topics of a namespace, send a request, and run its archive until it is there."""
    home = config.home / namespace
    home.mkdir(parents=True)
    variables = {"HINDSIGHT_NAMESPACE": namespace, "HINDSIGHT_HOME": str(home)}
    environment = process_environment(config) | variables | {"HINDSIGHT_ARCHIVE_METRICS_PORT": str(ports.free_port())}
    created = await run_hindsight(config, "topics", **variables)
    assert created == CommandResult(0, "9 topics are there; 0 differences\n", "")
    async with clients.open_admin(config) as admin, asyncio.timeout(60):
        while f"{namespace}.letters.predictions" not in await admin.list_topics():
            await asyncio.sleep(0.2)
    async with Hindsight(config.bootstrap, namespace=namespace, kafka=client_options(config)) as client:
        await client.send("letters", namespace.encode())
    archive = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app.worker", "archive", cwd=CHECKOUT, env=environment
    )
    view = config.model_copy(update={"namespace": namespace})
    try:
        async with asyncio.timeout(60):
            while not Archive(view).table(f"{namespace}.letters.requests"):
                await asyncio.sleep(0.2)
    finally:
        archive.terminate()
        await archive.wait()
