from collections.abc import Iterator, Sequence

import pytest

from app.errors import Unavailable
from app.events.cloudevents import ConsumedRecord, Headers, Origin, Record, TopicId, header_text
from app.streams.delivery import HandlerResult
from app.streams.tracing import trace_handler
from app.tracing import Tracing, current_traceparent
from models.base import Rejected
from tests.support.otlp_collector import Collector, ExportedSpan, run_collector

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
ORIGIN = Origin(TopicId("c/t"), "letters.features", 3, 7, 0)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with run_collector() as collector:
        yield collector


@pytest.fixture
def tracing(collector: Collector) -> Iterator[Tracing]:
    tracing = Tracing(collector.url, "test")
    yield tracing
    tracing.close()


def make_event(traceparent: str | None) -> ConsumedRecord:
    headers: Headers = () if traceparent is None else (("traceparent", traceparent.encode()),)
    return ConsumedRecord(ORIGIN, b"key", b"value", headers)


async def echo(batch: Sequence[ConsumedRecord]) -> Sequence[HandlerResult]:
    """Answer each event that has a value, with its own headers; reject the others."""
    return [
        [Record("out", event.key, event.value, event.headers)] if event.value else Rejected("bad", "no")
        for event in batch
    ]


def exported_spans(tracing: Tracing, collector: Collector) -> list[ExportedSpan]:
    tracing.flush()
    return collector.spans


def traceparent_of(result: HandlerResult) -> str:
    assert isinstance(result, Sequence)
    [record] = result
    traceparent = header_text(record.headers, "traceparent")
    assert traceparent is not None
    return traceparent


async def test_an_answer_continues_the_span_of_its_event_which_continues_the_events_trace(
    tracing: Tracing, collector: Collector
) -> None:
    [answer] = await trace_handler(tracing, "inference", echo)([make_event(f"00-{TRACE}-{PARENT}-01")])
    [span] = exported_spans(tracing, collector)
    assert (span.service, span.name, span.trace, span.parent) == ("hindsight-test", "inference", TRACE, PARENT)
    assert (span.attributes["messaging.destination.name"], span.attributes["messaging.kafka.offset"]) == (
        ORIGIN.topic,
        7,
    )
    assert span.is_parent_in(traceparent_of(answer))
    assert not span.failed


@pytest.mark.parametrize("traceparent", [None, "", "nonsense", f"00-{'0' * 32}-{PARENT}-01", "x" * 512])
async def test_an_event_without_a_valid_traceparent_begins_a_trace(
    traceparent: str | None, tracing: Tracing, collector: Collector
) -> None:
    [answer] = await trace_handler(tracing, "inference", echo)([make_event(traceparent)])
    [span] = exported_spans(tracing, collector)
    assert span.parent == ""
    assert span.is_parent_in(traceparent_of(answer))


async def test_an_event_that_is_not_sampled_has_no_span_and_keeps_its_trace(
    tracing: Tracing, collector: Collector
) -> None:
    [answer] = await trace_handler(tracing, "inference", echo)([make_event(f"00-{TRACE}-{PARENT}-00")])
    assert exported_spans(tracing, collector) == []
    assert traceparent_of(answer).startswith(f"00-{TRACE}-")
    assert traceparent_of(answer).endswith("-00")


async def test_each_event_of_a_batch_has_its_own_trace_and_calls_for_the_batch_have_the_firsts(
    tracing: Tracing, collector: Collector
) -> None:
    traceparents: list[str | None] = []

    async def handle(batch: Sequence[ConsumedRecord]) -> Sequence[HandlerResult]:
        traceparents.append(current_traceparent())
        return await echo(batch)

    answers = await trace_handler(tracing, "inference", handle)(
        [make_event(None), make_event(f"00-{TRACE}-{PARENT}-01")]
    )
    spans = exported_spans(tracing, collector)
    assert all(any(span.is_parent_in(traceparent_of(answer)) for span in spans) for answer in answers)
    assert len({span.trace for span in spans}) == 2
    assert traceparents == [traceparent_of(answers[0])]
    assert current_traceparent() is None


async def test_the_spans_of_a_rejection_and_of_an_error_have_failed(tracing: Tracing, collector: Collector) -> None:
    rejected = ConsumedRecord(ORIGIN, b"key", b"", ())
    [answer] = await trace_handler(tracing, "inference", echo)([rejected])
    assert isinstance(answer, Rejected)

    async def away(_: Sequence[ConsumedRecord]) -> Sequence[HandlerResult]:
        raise Unavailable("away")

    with pytest.raises(Unavailable):
        await trace_handler(tracing, "inference", away)([make_event(None)])
    first, second = exported_spans(tracing, collector)
    assert (first.failed, first.attributes["error.type"]) == (True, "bad")
    assert second.failed


def test_a_handler_without_tracing_is_unchanged() -> None:
    assert trace_handler(None, "inference", echo) is echo


async def test_opentelemetry_can_be_disabled_by_its_own_variable(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    tracing, traceparent = Tracing(collector.url, "test"), f"00-{TRACE}-{PARENT}-01"
    handle = trace_handler(tracing, "inference", echo)
    with_trace, without_trace = await handle([make_event(traceparent), make_event(None)])
    assert traceparent_of(with_trace) == traceparent
    assert without_trace == [Record("out", b"key", b"value", ())]
    tracing.close()
    assert collector.spans == []


async def test_a_collector_that_is_away_does_not_delay_events() -> None:
    with run_collector() as collector:
        pass
    tracing = Tracing(collector.url, "test")
    [answer] = await trace_handler(tracing, "inference", echo)([make_event(f"00-{TRACE}-{PARENT}-01")])
    assert traceparent_of(answer).startswith(f"00-{TRACE}-")
    tracing.close()
