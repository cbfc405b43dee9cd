from app.events import topics
from app.events.cloudevents import LogEpoch, Origin, header
from app.preprocess.preprocessor import Outputs, Preprocessor
from app.preprocess.tracing import Traced
from app.tracing import Tracing
from tests.support.otlp_collector import Collector, collecting
from tests.support.tasks import Letters

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GIVEN = f"00-{TRACE}-{PARENT}-01"
ORIGIN = Origin(LogEpoch("c/t"), "letters.requests", 0, 1, 0)


def fetch(uri: str, limit: int) -> bytes:
    raise AssertionError


def preprocessed(collector: Collector, payload: bytes) -> Outputs:
    tracing = Tracing(collector.url, "preprocess")
    made = Traced(Preprocessor(Letters(), fetch, 100_000), tracing)
    assert made.task.name == "letters"
    outputs = made(ORIGIN, b"key", payload, (("traceparent", GIVEN.encode()),))
    tracing.close()
    return outputs


def test_features_go_on_from_the_span() -> None:
    with collecting() as collector:
        [record] = preprocessed(collector, b"abc").records
    [span] = collector.spans
    assert (span.service, span.name, span.trace, span.parent) == ("hindsight-preprocess", "preprocess", TRACE, PARENT)
    assert span.leads_to(header(record.headers, "traceparent"))


def test_a_failures_answer_goes_on_from_the_span_and_its_dead_letter_keeps_what_came() -> None:
    with collecting() as collector:
        outputs = preprocessed(collector, b"")
    [span] = collector.spans
    assert outputs.rejected is not None
    assert (span.failed, span.attributes["error.type"]) == (True, outputs.rejected.code)
    by_topic = {record.topic: header(record.headers, "traceparent") for record in outputs.records}
    assert by_topic[topics.DEAD_LETTERS] == GIVEN
    assert span.leads_to(by_topic[topics.predictions("letters")])
