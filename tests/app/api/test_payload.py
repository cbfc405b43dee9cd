import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from app.api.app import create_app
from app.catalog.catalog import Catalog
from app.eventlog.archive import Archive
from app.eventlog.schema import MAX_INLINE_BYTES
from app.events.base import ModelRef
from app.events.cloudevents import ConsumedRecord, Record
from app.events.ids import prediction_id
from app.events.types import PredictionMade
from app.services.payloads import detect_media_type
from app.settings import Settings
from app.storage.blob_store import blob_store
from tests.support.asgi_client import serve_app
from tests.support.record_strategies import consumed_record, make_record

PNG = b"\x89PNG\r\n\x1a\n and so on"
ANSWERED_MS = 2_000
"""A request is logged at the start, its prediction so much later."""


def of(request: str) -> str:
    return prediction_id("ocr", "shop", request)


def asked(
    request: str, value: bytes, *headers: tuple[str, bytes], offset: int = 0, logged_ms: int = 0
) -> ConsumedRecord:
    """A request of the shop's as it stands in the log."""
    said = (("ce_id", request.encode()), ("ce_source", b"shop"), *headers)
    return consumed_record(Record("ocr.requests", b"key", value, said), offset, logged_ms)


def _made(request: str) -> PredictionMade:
    return PredictionMade(
        prediction_id=of(request),
        request_id=request,
        task="ocr",
        model=ModelRef(name="ocr", version="1"),
        role="champion",
        output={"text": "1"},
        confidence=1.0,
        propensity=1.0,
        timings_ms={"total": float(ANSWERED_MS)},
    )


@asynccontextmanager
async def api(brokerless: Settings, home: Path, *log: ConsumedRecord) -> AsyncIterator[httpx.AsyncClient]:
    """The API over an archive of these requests and a catalog of what answers them."""
    config = brokerless.model_copy(update={"home": home, "max_blob_bytes": 2 * MAX_INLINE_BYTES})
    catalog = Catalog(config.catalog_url)
    catalog.upgrade()
    extensions = {"requestsource": "shop"}
    said = [make_record(_made(one), minute=ANSWERED_MS / 60_000, extensions=extensions) for one in ("1", "2", "talk")]
    catalog.project([consumed_record(one, offset, ANSWERED_MS) for offset, one in enumerate(said)])
    catalog.close()
    if log:
        Archive(config).append(log)
    async with serve_app(create_app(config)) as client:
        yield client


async def test_a_payload_comes_as_it_was_sent_and_can_do_no_harm_in_a_browser(
    brokerless: Settings, tmp_path: Path
) -> None:
    async with api(brokerless, tmp_path, asked("2", b"other", offset=0), asked("1", PNG, offset=1)) as http:
        answer = await http.get(f"/v1/predictions/{of('1')}/payload")
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, PNG, "image/png")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"] == f'inline; filename="{of("1").replace(":", "-")}.png"'
    assert "sandbox" in answer.headers["content-security-policy"]


async def test_what_a_browser_could_run_is_only_for_saving(brokerless: Settings, tmp_path: Path) -> None:
    page = asked("1", b"<script>alert(1)</script>", ("content-type", b"text/html"))
    async with api(brokerless, tmp_path, page) as http:
        answer = await http.get(f"/v1/predictions/{of('1')}/payload")
    assert answer.headers["content-disposition"].startswith("attachment; ")


@pytest.mark.parametrize("envelope", [{"data_base64": base64.b64encode(PNG).decode()}, {"uri": ""}])
async def test_a_payload_is_taken_out_of_its_envelope(
    brokerless: Settings, tmp_path: Path, envelope: dict[str, str]
) -> None:
    if "uri" in envelope:
        envelope["uri"] = blob_store(brokerless.model_copy(update={"home": tmp_path})).put(PNG)
    request = asked("1", json.dumps(envelope).encode(), ("content-type", b"application/json"))
    async with api(brokerless, tmp_path, request) as http:
        answer = await http.get(f"/v1/predictions/{of('1')}/payload")
    assert (answer.content, answer.headers["content-type"]) == (PNG, "image/png")


@pytest.mark.parametrize("uri", ["file:///etc/passwd", "http://example.org/x", "blob://sha256/../../etc/passwd"])
async def test_a_claim_check_leads_nowhere_but_into_our_own_storage(
    brokerless: Settings, tmp_path: Path, uri: str
) -> None:
    async with api(brokerless, tmp_path, asked("1", json.dumps({"uri": uri}).encode())) as http:
        answer = await http.get(f"/v1/predictions/{of('1')}/payload")
    assert answer.status_code == 404
    assert "is not a blob URI" in answer.json()["detail"]


async def test_a_payload_that_the_archive_keeps_as_a_blob_is_found_until_that_is_gone(
    brokerless: Settings, tmp_path: Path
) -> None:
    large = PNG + bytes(MAX_INLINE_BYTES)
    store = blob_store(brokerless.model_copy(update={"home": tmp_path}))
    async with api(brokerless, tmp_path, asked("1", large)) as http:
        assert (await http.get(f"/v1/predictions/{of('1')}/payload")).content == large
        store.delete(store.put(large))
        answer = await http.get(f"/v1/predictions/{of('1')}/payload")
    assert answer.status_code == 404
    assert "there is no blob://" in answer.json()["detail"]


async def test_of_two_requests_with_one_identity_the_first_was_predicted(brokerless: Settings, tmp_path: Path) -> None:
    twice = asked("1", b"first"), asked("1", b"second", offset=1, logged_ms=500)
    async with api(brokerless, tmp_path, *twice) as http:
        assert (await http.get(f"/v1/predictions/{of('1')}/payload")).content == b"first"


@pytest.mark.parametrize(
    ("prediction", "reason"), [(of("9"), "no prediction"), ("letters:" + of("1")[4:], "no prediction")]
)
async def test_of_what_is_not_recorded_there_is_no_payload(
    brokerless: Settings, tmp_path: Path, prediction: str, reason: str
) -> None:
    async with api(brokerless, tmp_path) as http:
        answer = await http.get(f"/v1/predictions/{prediction}/payload")
    assert answer.status_code == 404
    assert reason in answer.json()["detail"]


async def test_what_is_no_prediction_id_is_refused(brokerless: Settings, tmp_path: Path) -> None:
    async with api(brokerless, tmp_path) as http:
        assert (await http.get("/v1/predictions/nonsense/payload")).status_code == 422


async def test_while_kafka_is_away_what_is_not_archived_is_worth_another_try(
    brokerless: Settings, tmp_path: Path
) -> None:
    async with api(brokerless, tmp_path, asked("2", b"other")) as http:
        answer = await http.get(f"/v1/predictions/{of('1')}/payload")
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    ("content", "declared", "media_type"),
    [
        (PNG, "text/html", "image/png"),
        (b"RIFF....WAVE", None, "audio/wav"),
        (b'{"context": {}}', "application/json; charset=utf-8", "application/json"),
        (b"no json", "application/json", "application/octet-stream"),
        (b"a question", "text/plain", "text/plain"),
        (b"\x00\x01", "nonsense\r\nX-Evil: 1", "application/octet-stream"),
    ],
)
def test_what_a_payload_is_says_itself_or_its_sender(content: bytes, declared: str | None, media_type: str) -> None:
    assert detect_media_type(content, declared) == media_type
