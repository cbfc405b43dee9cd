import asyncio
import os
from pathlib import Path

from app.monitoring.heartbeat import AGE, Heartbeat, clear_wait, heartbeat_path, report_wait


async def test_a_heartbeat_updates_its_file_and_lists_what_the_process_waits_for(tmp_path: Path) -> None:
    heartbeat, path = Heartbeat(tmp_path), heartbeat_path(tmp_path, os.getpid())
    heartbeat.beat()
    assert path.read_text() == ""
    first = path.stat().st_mtime_ns
    report_wait("ocr.features", "MLServer:\n UNAVAILABLE")
    try:
        await asyncio.sleep(0.02)
        heartbeat.beat()
        assert path.read_text() == "ocr.features: MLServer: UNAVAILABLE"
        assert path.stat().st_mtime_ns > first
    finally:
        clear_wait("ocr.features")
    heartbeat.beat()
    assert path.read_text() == ""
    await asyncio.sleep(0.02)
    assert 0.01 < next(iter(AGE.collect())).samples[0].value < 60


def test_a_heartbeat_ignores_a_disk_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "heartbeats").touch()
    Heartbeat(tmp_path).beat()
