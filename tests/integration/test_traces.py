"""A request's trace through the whole platform: Flink, the worker, MLServer."""

from pathlib import Path

import pytest

from app.events import topics
from models.ocr.data.lines import make_payloads
from tests.support.kafka_clients import OutgoingRecord, header_text, open_topic_reader, publish
from tests.support.otlp_collector import ExportedSpan, run_collector
from tests.support.platform import platform_settings, run_processes
from tests.support.retraining_loop import PROCESSES

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.soak
async def test_a_request_is_one_trace_from_flink_to_mlserver(tmp_path: Path) -> None:
    with run_collector() as collector:
        config = platform_settings(tmp_path, tasks={"ocr": "models.ocr:Ocr"}, otlp_endpoint=collector.url)
        [good] = make_payloads(1, seed=1)
        trace = [("traceparent", f"00-{TRACE}-{PARENT}-01".encode())]
        async with run_processes(config, only=PROCESSES) as supervisor:
            await supervisor.wait_ready(180)
            async with open_topic_reader(config, topics.predictions("ocr")) as answers:
                await publish(config, topics.requests("ocr"), [OutgoingRecord(good.payload, b"1", trace)])
                [made] = await answers.read_until(bool)
                await publish(config, topics.requests("ocr"), [OutgoingRecord(b"no picture", b"2", trace)])
                _, failed = await answers.read_until(lambda read: len(read) == 2)
            spans = await collector.wait_for(lambda found: len(found) >= 4)

    def child(parent: str, name: str) -> ExportedSpan:
        [found] = [one for one in spans if (one.parent, one.name, one.failed) == (parent, name, False)]
        return found

    assert {one.trace for one in spans} == {TRACE}
    preprocess = child(PARENT, "preprocess")
    inference = child(preprocess.id, "inference")
    model = child(inference.id, "model")
    services = [one.service for one in (preprocess, inference, model)]
    assert services == ["hindsight-preprocess", "hindsight-worker", "hindsight-mlserver"]
    assert inference.is_parent_in(header_text(made, "traceparent"))
    [rejected] = [one for one in spans if one.failed]
    assert rejected.is_parent_in(header_text(failed, "traceparent"))
