from pathlib import Path

import pytest
from pydantic import SecretStr

from app.catalog.catalog import Catalog
from app.commands.provision import provision_all
from app.errors import SetupError
from app.settings import Settings
from tests.support.commands import CommandResult, invoke_hindsight
from tests.support.platform import platform_settings


async def test_provision_creates_what_the_processes_share_and_may_run_again(platform: Settings, tmp_path: Path) -> None:
    variables = {
        "HINDSIGHT_BLOB_URL": (tmp_path / "blobs").as_uri(),
        "HINDSIGHT_DATABASE_URL": f"sqlite:///{tmp_path}/catalog.sqlite",
    }
    expected = CommandResult(0, "16 topics, the blob storage and the catalog are there\n", "")
    first = await invoke_hindsight(platform, "provision", **variables)
    assert (first.code, first.out) == (expected.code, expected.out)
    assert await invoke_hindsight(platform, "provision", **variables) == expected
    assert list((tmp_path / "blobs").iterdir())
    catalog = Catalog(variables["HINDSIGHT_DATABASE_URL"])
    assert catalog.exists()
    catalog.close()


async def test_provision_names_a_blob_storage_that_does_not_answer_in_time(tmp_path: Path) -> None:
    config = platform_settings(
        tmp_path,
        blob_url="s3://bucket",
        s3_endpoint="http://127.0.0.1:1",
        s3_access_key=SecretStr("key"),
        s3_secret_key=SecretStr("secret"),
    )
    with pytest.raises(SetupError, match="s3://bucket can't be used: no S3 server answers"):
        await provision_all(config, start_seconds=0.2)


async def test_provision_names_brokers_that_do_not_answer_in_time(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"No Kafka broker answers at 127\.0\.0\.1:1 after 0 s"):
        await provision_all(platform_settings(tmp_path, kafka_bootstrap="127.0.0.1:1"), start_seconds=0.2)
