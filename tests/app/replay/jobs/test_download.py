import io
import os
import zipfile
from pathlib import Path

from app.replay.jobs.download import stream_zip


def test_a_zip_contains_the_files_and_is_streamed_in_chunks(tmp_path: Path) -> None:
    rows, manifest = tmp_path / "rows.parquet", tmp_path / "manifest.json"
    rows.write_bytes(os.urandom(1_000_000))
    manifest.write_text('{"rows": 1}')
    chunks = list(stream_zip("ocr-1", [rows, manifest]))
    assert max(map(len, chunks)) < 300_000
    with zipfile.ZipFile(io.BytesIO(b"".join(chunks))) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["ocr-1/rows.parquet", "ocr-1/manifest.json"]
        assert archive.read("ocr-1/rows.parquet") == rows.read_bytes()
        assert archive.read("ocr-1/manifest.json") == manifest.read_bytes()
