from app.events import topics
from app.events.cloudevents import Origin, TopicId, header_text
from app.preprocess.preprocessor import Preprocessor, PreprocessResult
from app.preprocess.tracing import TracedPreprocessor
from app.tracing import Tracing
from tests.support.otlp_collector import Collector, run_collector
from tests.support.tasks import Letters

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GIVEN = f"00-{TRACE}-{PARENT}-01"
ORIGIN = Origin(TopicId("c/t"), "letters.requests", 0, 1, 0)


def fetch(uri: str, limit: int) -> bytes:
    raise AssertionError


def preprocess(collector: Collector, payload: bytes) -> PreprocessResult:
    tracing = Tracing(collector.url, "preprocess")
    preprocessor = TracedPreprocessor(Preprocessor(Letters(), fetch, 100_000), tracing)
    assert preprocessor.task.name == "letters"
    result = preprocessor(ORIGIN, b"key", payload, (("traceparent", GIVEN.encode()),))
    tracing.close()
    return result


def test_features_continue_the_trace_of_the_span() -> None:
    with run_collector() as collector:
        [record] = preprocess(collector, b"abc").records
    [span] = collector.spans
    assert (span.service, span.name, span.trace, span.parent) == ("hindsight-preprocess", "preprocess", TRACE, PARENT)
    assert span.is_parent_in(header_text(record.headers, "traceparent"))


def test_the_answer_of_a_failure_continues_the_trace_and_its_dead_letter_keeps_the_original_header() -> None:
    with run_collector() as collector:
        result = preprocess(collector, b"")
    [span] = collector.spans
    assert result.rejection is not None
    assert (span.failed, span.attributes["error.type"]) == (True, result.rejection.code)
    by_topic = {record.topic: header_text(record.headers, "traceparent") for record in result.records}
    assert by_topic[topics.DEAD_LETTERS] == GIVEN
    assert span.is_parent_in(by_topic[topics.predictions("letters")])
