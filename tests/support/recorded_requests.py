"""Requests in an archive, with their predictions in a catalog."""

from pathlib import Path

from app.catalog.catalog import Catalog
from app.eventlog.archive import Archive
from app.eventlog.schema import MAX_INLINE_BYTES
from app.events.base import ModelRef
from app.events.cloudevents import ConsumedRecord, Record
from app.events.ids import prediction_id
from app.events.types import PredictionMade
from app.settings import Settings
from tests.support.record_strategies import consumed_record, make_record

ANSWERED_MS = 2_000
"""A request is logged at the epoch, its prediction so much later."""


def id_of(request: str) -> str:
    """Return the prediction id of a request."""
    return prediction_id("ocr", "shop", request)


def logged_request(
    request: str, value: bytes, *headers: tuple[str, bytes], offset: int = 0, logged_ms: int = 0
) -> ConsumedRecord:
    """Return the record of a request of the source `shop`."""
    attributes = (("ce_id", request.encode()), ("ce_source", b"shop"))
    return consumed_record(Record("ocr.requests", b"key", value, (*attributes, *headers)), offset, logged_ms)


def _prediction(request: str) -> PredictionMade:
    return PredictionMade(
        prediction_id=id_of(request),
        request_id=request,
        task="ocr",
        model=ModelRef(name="ocr", version="1"),
        role="champion",
        output={"text": "1"},
        confidence=1.0,
        propensity=1.0,
        timings_ms={"total": float(ANSWERED_MS)},
    )


def write_requests(brokerless: Settings, home: Path, *requests: ConsumedRecord) -> Settings:
    """Archive these requests, record predictions of the requests 1, 2 and talk, and return the settings."""
    config = brokerless.model_copy(update={"home": home, "max_blob_bytes": 2 * MAX_INLINE_BYTES})
    catalog = Catalog(config.catalog_url)
    catalog.upgrade()
    predictions = [
        make_record(_prediction(request), minute=ANSWERED_MS / 60_000, extensions={"requestsource": "shop"})
        for request in ("1", "2", "talk")
    ]
    catalog.project([consumed_record(record, offset, ANSWERED_MS) for offset, record in enumerate(predictions)])
    catalog.close()
    if requests:
        Archive(config).append(requests)
    return config
