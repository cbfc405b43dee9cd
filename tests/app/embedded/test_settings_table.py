from pathlib import Path

import pytest
from pydantic import SecretStr

from app.embedded.settings_table import read_setting_rows
from tests.support.platform import platform_settings


def test_settings_are_shown_with_their_source_and_without_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HINDSIGHT_API_KEY", "secret")
    config = platform_settings(
        tmp_path, api_key=SecretStr("secret"), kafka_bootstrap="", blob_url="s3://me:password@store/x"
    )
    rows = {row.variable: row for row in read_setting_rows(config)}
    assert rows["HINDSIGHT_API_KEY"].value == "********"
    assert rows["HINDSIGHT_API_KEY"].source == "environment"
    assert rows["HINDSIGHT_BATCH_SIZE"].source == "default"
    assert rows["HINDSIGHT_BLOB_URL"].value == "s3://me:********@store/x"
