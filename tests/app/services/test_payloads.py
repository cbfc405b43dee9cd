import base64
import json
from pathlib import Path

import pytest

from app import tasks
from app.catalog.catalog import Catalog
from app.eventlog.schema import MAX_INLINE_BYTES
from app.events.cloudevents import ConsumedRecord
from app.services.payloads import Payload, PayloadNotFound, PayloadReader, detect_media_type
from app.settings import Settings
from app.storage.blob_store import blob_store
from tests.support.recorded_requests import id_of, logged_request, write_requests

PNG = b"\x89PNG\r\n\x1a\n and so on"


async def read_payload(brokerless: Settings, home: Path, *requests: ConsumedRecord) -> Payload:
    """Read the payload of request 1 from an archive of these requests."""
    config = write_requests(brokerless, home, *requests)
    catalog = Catalog(config.catalog_url)
    try:
        return await PayloadReader(config, tasks.load_tasks(config), catalog, blob_store(config)).read(id_of("1"))
    finally:
        catalog.close()


@pytest.mark.parametrize("envelope", [{"data_base64": base64.b64encode(PNG).decode()}, {"uri": ""}])
async def test_a_payload_is_taken_out_of_its_envelope(
    brokerless: Settings, tmp_path: Path, envelope: dict[str, str]
) -> None:
    if "uri" in envelope:
        envelope["uri"] = blob_store(brokerless.model_copy(update={"home": tmp_path})).put(PNG)
    request = logged_request("1", json.dumps(envelope).encode(), ("content-type", b"application/json"))
    payload = await read_payload(brokerless, tmp_path, request)
    assert (payload.content, payload.media_type) == (PNG, "image/png")


@pytest.mark.parametrize("uri", ["file:///etc/passwd", "http://example.org/x", "blob://sha256/../../etc/passwd"])
async def test_a_claim_check_can_only_name_our_own_storage(brokerless: Settings, tmp_path: Path, uri: str) -> None:
    with pytest.raises(PayloadNotFound, match="is not a blob URI"):
        await read_payload(brokerless, tmp_path, logged_request("1", json.dumps({"uri": uri}).encode()))


async def test_a_payload_that_the_archive_stores_as_a_blob_is_found_until_the_blob_is_deleted(
    brokerless: Settings, tmp_path: Path
) -> None:
    large = PNG + bytes(MAX_INLINE_BYTES)
    store = blob_store(brokerless.model_copy(update={"home": tmp_path}))
    assert (await read_payload(brokerless, tmp_path, logged_request("1", large))).content == large
    store.delete(store.put(large))
    with pytest.raises(PayloadNotFound, match="there is no blob://"):
        await read_payload(brokerless, tmp_path)


async def test_the_first_of_two_requests_with_one_identity_is_the_predicted_one(
    brokerless: Settings, tmp_path: Path
) -> None:
    requests = logged_request("1", b"first"), logged_request("1", b"second", offset=1, logged_ms=500)
    assert (await read_payload(brokerless, tmp_path, *requests)).content == b"first"


@pytest.mark.parametrize(
    ("content", "declared", "media_type"),
    [
        (PNG, "text/html", "image/png"),
        (b"RIFF....WAVE", None, "audio/wav"),
        (b"RIFF....WEBP", None, "image/webp"),
        (b"\x00\x00\x00\x20ftypM4A ", None, "audio/mp4"),
        (b"\x00\x00\x00\x20ftypheic", None, "image/heic"),
        (b"ID3\x04", None, "audio/mpeg"),
        (b"BMW 320, the message WAVE", "text/plain", "text/plain"),
        (b"On such AIF", "text/plain", "text/plain"),
        (b'{"context": {}}', "application/json; charset=utf-8", "application/json"),
        (b"no json", "application/json", "application/octet-stream"),
        (b"a question", "text/plain", "text/plain"),
        (b"\x00\x01", "nonsense\r\nX-Evil: 1", "application/octet-stream"),
    ],
)
def test_the_first_bytes_or_the_declaration_give_the_media_type(
    content: bytes, declared: str | None, media_type: str
) -> None:
    assert detect_media_type(content, declared) == media_type
