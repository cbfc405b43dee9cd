from collections.abc import AsyncIterator, Iterator

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from app.kafka import clients
from app.settings import Settings
from app.testing import fast_retries
from tests.support.package_index import package_index
from tests.support.platform import platform_settings, run_processes, wait_until_alive
from tests.support.s3 import mortal_s3, s3_server, s3_servers, storage

__all__ = ["mortal_s3", "package_index", "s3_server", "s3_servers", "storage"]  # fixtures of all tests here

TASKS = {"letters": "tests.support.tasks:Letters", "ocr": "models.small.ocr:Ocr"}


@pytest.fixture(scope="session")
async def platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Settings]:
    """A broker and the API, as processes of their own; shared, for it takes seconds."""
    config = platform_settings(tmp_path_factory.mktemp("platform"), tasks=TASKS)
    async with run_processes(config, only=("kafka", "api")):
        await wait_until_alive(config)
        yield config


@pytest.fixture(scope="session")
def brokerless(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings whose broker does not exist."""
    return platform_settings(
        tmp_path_factory.mktemp("brokerless"), tasks={"ocr": "models.small.ocr:Ocr"}, max_blob_bytes=1000
    )


@pytest.fixture
async def admin(platform: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = clients.create_admin(platform)
    await admin.start()
    yield admin
    await admin.close()


@pytest.fixture(scope="module")
def impatient() -> Iterator[None]:
    """Retries that wait for next to nothing."""
    with fast_retries():
        yield
