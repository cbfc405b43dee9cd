from typing import Any

import duckdb
import polars as pl
import pytest
from pydantic import SecretStr

from app.errors import SetupError, Unavailable
from app.eventlog.archive import Archive
from app.settings import Settings
from app.storage.delta import storage_options
from tests.app.eventlog.test_archive import TOPIC, records
from tests.support.s3 import S3Server

KEYS: dict[str, Any] = {"s3_access_key": SecretStr("access"), "s3_secret_key": SecretStr("secret")}


def test_a_table_can_be_read_with_arrow_duckdb_and_polars(storage: Settings) -> None:
    archive = Archive(storage)
    archive.append(records(0, range(100)))
    table = archive.table(TOPIC)
    assert table is not None
    rows = table.to_pyarrow_dataset()
    with duckdb.connect() as database:
        database.register("requests", rows)
        duckdb_rows = database.sql('SELECT sum("offset") FROM requests WHERE partition = 0').fetchall()
    polars_frame = pl.scan_pyarrow_dataset(rows)
    assert rows.count_rows() == 100
    assert duckdb_rows == [(4950,)]
    assert polars_frame.select(pl.col("offset").sum()).collect().item() == 4950


def test_an_archive_is_unavailable_while_its_server_is_down(mortal_s3: S3Server) -> None:
    archive = Archive(Settings(**mortal_s3.bucket()))
    archive.append(records(0, range(5)))
    mortal_s3.kill()
    with pytest.raises(Unavailable, match="s3://"):
        archive.append(records(0, range(9)))
    with pytest.raises(SetupError, match="can't be reached"):
        archive.table(TOPIC)
    mortal_s3.start()
    assert archive.append(records(0, range(9))) == 4


def test_a_directory_needs_no_options() -> None:
    assert storage_options(Settings(blob_url="file:///a/directory")) is None


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [("http://minio:9000", "true"), ("https://minio:9000", "false"), ("", None)],
)
def test_plain_http_is_allowed_only_for_a_plain_endpoint(endpoint: str, expected: str | None) -> None:
    options = storage_options(Settings(blob_url="s3://bucket", s3_endpoint=endpoint, **KEYS))
    assert options is not None
    assert options.get("aws_allow_http") == expected
    assert options.get("aws_endpoint_url") == (endpoint or None)
