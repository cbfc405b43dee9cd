import io
import os
import zipfile
from pathlib import Path

from app.replay.jobs.download import stream_zip


def test_a_zip_holds_the_files_as_they_are_and_comes_in_pieces(tmp_path: Path) -> None:
    rows, manifest = tmp_path / "rows.parquet", tmp_path / "manifest.json"
    rows.write_bytes(os.urandom(1_000_000))
    manifest.write_text('{"rows": 1}')
    pieces = list(stream_zip("ocr-1", [rows, manifest]))
    assert max(map(len, pieces)) < 300_000
    with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as found:
        assert found.testzip() is None
        assert found.namelist() == ["ocr-1/rows.parquet", "ocr-1/manifest.json"]
        assert found.read("ocr-1/rows.parquet") == rows.read_bytes()
        assert found.read("ocr-1/manifest.json") == manifest.read_bytes()
