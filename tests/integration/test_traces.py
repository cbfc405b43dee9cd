"""The trace of a request through the whole platform: Flink, the worker, MLServer."""

from pathlib import Path

import pytest

from app.events import topics
from models.small.ocr.data.lines import make_payloads
from tests.support.kafka_clients import OutgoingRecord, header_text, open_topic_reader, publish
from tests.support.otlp_collector import ExportedSpan, run_collector
from tests.support.platform import platform_settings, run_processes
from tests.support.retraining_loop import PROCESSES

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.soak
async def test_a_request_is_one_trace_from_flink_to_mlserver(tmp_path: Path) -> None:
    with run_collector() as collector:
        config = platform_settings(tmp_path, tasks={"ocr": "models.small.ocr:Ocr"}, otlp_endpoint=collector.url)
        [good] = make_payloads(1, seed=1)
        trace = [("traceparent", f"00-{TRACE}-{PARENT}-01".encode())]
        async with run_processes(config, only=PROCESSES) as supervisor:
            await supervisor.wait_ready(180)
            async with open_topic_reader(config, topics.predictions("ocr")) as answers:
                await publish(config, topics.requests("ocr"), [OutgoingRecord(good.payload, b"1", trace)])
                [predicted] = await answers.read_until(bool)
                await publish(config, topics.requests("ocr"), [OutgoingRecord(b"no picture", b"2", trace)])
                _, failed = await answers.read_until(lambda records: len(records) == 2)
            spans = await collector.wait_for(lambda spans: len(spans) >= 4)

    def find_child(parent: str, name: str) -> ExportedSpan:
        [span] = [span for span in spans if (span.parent, span.name, span.failed) == (parent, name, False)]
        return span

    assert {span.trace for span in spans} == {TRACE}
    preprocess = find_child(PARENT, "preprocess")
    inference = find_child(preprocess.id, "inference")
    model = find_child(inference.id, "model")
    services = [span.service for span in (preprocess, inference, model)]
    assert services == ["hindsight-preprocess", "hindsight-worker", "hindsight-mlserver"]
    assert inference.is_parent_in(header_text(predicted, "traceparent"))
    [rejected] = [span for span in spans if span.failed]
    assert rejected.is_parent_in(header_text(failed, "traceparent"))
