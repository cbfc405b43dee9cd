from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from app.cli import cli
from app.commands.replay import range_note
from app.replay import replay

FIRST, LAST = "2026-09-10T08:00:00+00:00", "2026-09-20T08:00:00+00:00"


def make_manifest(since: str | None = None, until: str | None = None, first: str | None = FIRST) -> dict[str, Any]:
    skipped = {"requests": {"out_of_range": 110}, "predictions": {"no_request": 110}, "features": {"no_row": 110}}
    return {
        "arguments": {"task": "ocr", "from": since, "to": until},
        "requests": {"first": first, "last": first and LAST},
        "rows": 0,
        "splits": {},
        "content_hash": "e3b0c442",
        "counts": {
            kind: {"read": 110, "rows": 0, "skipped": counts, "rejected": {}} for kind, counts in skipped.items()
        },
        "without_content": {},
    }


@pytest.mark.parametrize(
    ("manifest", "note"),
    [
        (make_manifest(), ""),
        (make_manifest("2026-09-12T00:00:00+00:00", "2026-10-01T00:00:00+00:00"), ""),
        (make_manifest(first=None), "The log has no requests of ocr."),
        (
            make_manifest(until="2026-09-01T00:00:00+00:00"),
            f"The range ends before the log begins: its first request of ocr is of {FIRST}.",
        ),
        (
            make_manifest("2026-10-01T00:00:00+00:00"),
            f"The range begins after the log's last request of ocr, which is of {LAST}.",
        ),
        (make_manifest("2026-09-01T00:00:00+00:00"), f"The log has no requests of ocr before {FIRST}."),
    ],
)
def test_a_range_that_the_log_does_not_cover_is_told(manifest: dict[str, Any], note: str) -> None:
    assert range_note(manifest) == note


def test_an_empty_dataset_is_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    manifest = make_manifest("2026-08-01T00:00:00+00:00", "2026-09-01T00:00:00+00:00")
    monkeypatch.setattr(replay, "replay", lambda *_: manifest)
    result = CliRunner().invoke(cli, ["replay", "ocr", "--out", "set", "--from", "-1d"])
    assert (result.exit_code, result.stderr.strip()) == (0, range_note(manifest))
    assert result.stdout.splitlines() == [
        "set: 0 rows, content hash e3b0c442",
        "  requests          110 read,         0 in rows; left out: 110 outside of --from and --to",
        "  predictions       110 read,         0 in rows; left out: 110 of requests outside of --from and --to",
        "  features          110 read,         0 in rows; left out: 110 of predictions that are in no row",
    ]
