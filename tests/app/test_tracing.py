import subprocess
import sys
from collections.abc import Iterator, Sequence

import pytest

from app.errors import Unavailable
from app.events.cloudevents import ConsumedRecord, Headers, Origin, Record, TopicId, header_text
from app.settings import CHECKOUT, Settings
from app.streams.delivery import HandlerResult
from app.streams.tracing import trace_handler
from app.tracing import Tracing, current_traceparent, get_tracing
from models.base import Rejected
from tests.support.otlp_collector import Collector, ExportedSpan, run_collector

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
ORIGIN = Origin(TopicId("c/t"), "letters.features", 3, 7, 0)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with run_collector() as made:
        yield made


@pytest.fixture
def tracing(collector: Collector) -> Iterator[Tracing]:
    made = Tracing(collector.url, "test")
    yield made
    made.close()


def incoming(traceparent: str | None) -> ConsumedRecord:
    headers: Headers = () if traceparent is None else (("traceparent", traceparent.encode()),)
    return ConsumedRecord(ORIGIN, b"key", b"value", headers)


async def echo(batch: Sequence[ConsumedRecord]) -> Sequence[HandlerResult]:
    """Answers what has a value, each with the headers that it came with."""
    return [[Record("out", one.key, one.value, one.headers)] if one.value else Rejected("bad", "no") for one in batch]


def taken(tracing: Tracing, collector: Collector) -> list[ExportedSpan]:
    tracing.flush()
    return collector.spans


def said(answer: HandlerResult) -> str:
    assert isinstance(answer, Sequence)
    [record] = answer
    found = header_text(record.headers, "traceparent")
    assert found is not None
    return found


async def test_an_answer_goes_on_from_a_span_that_goes_on_from_the_event(
    tracing: Tracing, collector: Collector
) -> None:
    [answer] = await trace_handler(tracing, "inference", echo)([incoming(f"00-{TRACE}-{PARENT}-01")])
    [span] = taken(tracing, collector)
    assert (span.service, span.name, span.trace, span.parent) == ("hindsight-test", "inference", TRACE, PARENT)
    assert (span.attributes["messaging.destination.name"], span.attributes["messaging.kafka.offset"]) == (
        ORIGIN.topic,
        7,
    )
    assert span.is_parent_in(said(answer))
    assert not span.failed


@pytest.mark.parametrize("nothing", [None, "", "nonsense", f"00-{'0' * 32}-{PARENT}-01", "x" * 512])
async def test_what_has_no_trace_begins_one(nothing: str | None, tracing: Tracing, collector: Collector) -> None:
    [answer] = await trace_handler(tracing, "inference", echo)([incoming(nothing)])
    [span] = taken(tracing, collector)
    assert span.parent == ""
    assert span.is_parent_in(said(answer))


async def test_what_was_decided_not_to_be_traced_is_not_and_keeps_its_trace(
    tracing: Tracing, collector: Collector
) -> None:
    [answer] = await trace_handler(tracing, "inference", echo)([incoming(f"00-{TRACE}-{PARENT}-00")])
    assert taken(tracing, collector) == []
    assert said(answer).startswith(f"00-{TRACE}-")
    assert said(answer).endswith("-00")


async def test_each_event_of_a_batch_has_its_own_trace_and_what_is_called_for_all_the_firsts(
    tracing: Tracing, collector: Collector
) -> None:
    called: list[str | None] = []

    async def handle(batch: Sequence[ConsumedRecord]) -> Sequence[HandlerResult]:
        called.append(current_traceparent())
        return await echo(batch)

    answers = await trace_handler(tracing, "inference", handle)([incoming(None), incoming(f"00-{TRACE}-{PARENT}-01")])
    spans = taken(tracing, collector)
    assert all(any(span.is_parent_in(said(answer)) for span in spans) for answer in answers)
    assert len({span.trace for span in spans}) == 2
    assert called == [said(answers[0])]
    assert current_traceparent() is None


async def test_a_rejection_and_a_failure_are_told(tracing: Tracing, collector: Collector) -> None:
    rejected = ConsumedRecord(ORIGIN, b"key", b"", ())
    [answer] = await trace_handler(tracing, "inference", echo)([rejected])
    assert isinstance(answer, Rejected)

    async def away(_: Sequence[ConsumedRecord]) -> Sequence[HandlerResult]:
        raise Unavailable("away")

    with pytest.raises(Unavailable):
        await trace_handler(tracing, "inference", away)([incoming(None)])
    first, second = taken(tracing, collector)
    assert (first.failed, first.attributes["error.type"]) == (True, "bad")
    assert second.failed


async def test_where_nobody_wants_traces_nothing_is_made(tracing: Tracing) -> None:
    assert get_tracing(Settings(otlp_endpoint=""), "worker") is None
    assert trace_handler(None, "inference", echo) is echo


def test_where_nobody_wants_traces_nothing_is_imported() -> None:
    code = "import sys, app.tracing, app.preprocess.preprocessor; print([m for m in sys.modules if 'telemetry' in m])"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=CHECKOUT, text=True).strip() == "[]"


async def test_opentelemetry_can_be_switched_off_by_its_own_variable(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    tracing, given = Tracing(collector.url, "test"), f"00-{TRACE}-{PARENT}-01"
    with_trace, without = await trace_handler(tracing, "inference", echo)([incoming(given), incoming(None)])
    assert said(with_trace) == given
    assert without == [Record("out", b"key", b"value", ())]
    tracing.close()
    assert collector.spans == []


async def test_a_collector_that_is_away_holds_up_nobody() -> None:
    with run_collector() as gone:
        pass
    tracing = Tracing(gone.url, "test")
    [answer] = await trace_handler(tracing, "inference", echo)([incoming(f"00-{TRACE}-{PARENT}-01")])
    assert said(answer).startswith(f"00-{TRACE}-")
    tracing.close()
