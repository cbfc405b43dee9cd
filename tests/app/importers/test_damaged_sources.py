"""Damaged copies of every layout: the counts add up, and no wrong label enters the log."""

import json
from pathlib import Path

import numpy as np
import pytest

from app.errors import SetupError
from app.events.cloudevents import ConsumedRecord, decode_headers
from app.importers.example import RejectedRow
from app.importers.example_events import EventBuilder
from app.importers.formats import open_source
from app.importers.importer import Importer
from app.importers.layouts import Format
from app.importers.locations import SourceReader
from app.settings import Settings
from app.testing.memory_log import InMemoryLog
from models.base import Features, Rejected
from tests.support.damaged_sources import LAYOUTS, Files
from tests.support.tasks import Letters


class AnyPayload(Letters):
    """Take every payload."""

    def preprocess(self, payload: bytes) -> Features:
        return {"letters": np.frombuffer(payload, np.uint8)}


CASES = [(layout, damage) for layout, (_, damages) in LAYOUTS.items() for damage in damages]


def put(files: Files, directory: Path) -> Path:
    for name, data in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(data)
    return directory


def import_into_log(directory: Path, file_format: Format) -> tuple[set[str], int, int]:
    """Return each truth in the log, with its payload, and the numbers of examples and rejected rows."""
    settings, log, rejected = Settings(home=directory / "home"), InMemoryLog(), 0
    source = open_source(SourceReader(settings), str(directory / "data"), None)
    assert source.format == file_format
    builder = EventBuilder(settings, AnyPayload(), source.root, "ada")
    rows = list(source.read_examples())
    for row in rows:
        try:
            if isinstance(row, RejectedRow):
                raise Rejected(row.code, row.reason)
            events = builder.build(row, builder.build_feedback(row))
            for record in (events.request, *([events.prediction] if events.prediction else []), events.feedback):
                log.append(record)
        except Rejected:
            rejected += 1
    counts = Importer(settings, AnyPayload(), source.root, "ada", lambda row: None).check(rows, lambda done: None)
    accepted = len(log.read("letters.requests"))
    assert (counts.imported, counts.known, counts.rejected) == (accepted, 0, rejected)
    predictions: list[ConsumedRecord | None] = [*log.read("letters.predictions")] or [None] * accepted
    in_order = zip(log.read("letters.requests"), predictions, log.read("letters.feedback"), strict=True)
    return {truth(*records) for records in in_order}, accepted, rejected


def truth(request: ConsumedRecord, prediction: ConsumedRecord | None, feedback: ConsumedRecord) -> str:
    """Return what the log says of one payload."""
    content, payload = json.loads(feedback.value or b""), request.value or b""
    subject = decode_headers(request.headers).get("ce_subject", "").rpartition("/")[2]
    output = None if prediction is None else json.loads(prediction.value or b"")["output"]
    context = json.loads(payload)["context"] if prediction else None
    return json.dumps([subject, context, output, content["correction"], content["reward"]], sort_keys=True)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_source_in_each_encoding_of_unicode_is_imported_whole(
    tmp_path: Path, layout: tuple[Format, str], encoding: str
) -> None:
    files = LAYOUTS[layout].files
    texts = (".csv", ".tsv", ".jsonl", ".txt", ".json", ".xml", ".yaml")
    encoded = {name: data.decode().encode(encoding) if name.endswith(texts) else data for name, data in files.items()}
    put(files, tmp_path / "a" / "data")
    put(encoded, tmp_path / "b" / "data")
    truths, imported, rejected = import_into_log(tmp_path / "a", layout[0])
    assert (len(truths), imported, rejected) == (3, 3, 0)
    assert import_into_log(tmp_path / "b", layout[0]) == (truths, 3, 0)


@pytest.mark.parametrize(("layout", "damage"), CASES)
def test_a_damaged_copy_has_no_wrong_label_and_its_counts_add_up(
    tmp_path: Path, layout: tuple[Format, str], damage: str
) -> None:
    files = dict(LAYOUTS[layout].files)
    apply, expected = LAYOUTS[layout].damages[damage]
    put(files, tmp_path / "a" / "data")
    apply(files)
    put(files, tmp_path / "b" / "data")
    if expected is None:
        with pytest.raises(SetupError) as caught:
            import_into_log(tmp_path / "b", layout[0])
        assert caught.value.remedy
        return
    truths, imported, rejected = import_into_log(tmp_path / "b", layout[0])
    assert (imported, rejected) == expected
    assert len(truths) == imported
    assert truths <= import_into_log(tmp_path / "a", layout[0])[0]
