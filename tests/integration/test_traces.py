"""A request's trace through the whole platform: Flink, the worker, MLServer."""

from pathlib import Path

import pytest

from app import topics
from models.ocr.data.lines import make_payloads
from tests.support.collector import Taken, collecting
from tests.support.log import Sent, header, publish, tail
from tests.support.loop import PROCESSES
from tests.support.platform import platform_settings, running

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.soak
async def test_a_request_is_one_trace_from_flink_to_mlserver(tmp_path: Path) -> None:
    with collecting() as collector:
        config = platform_settings(tmp_path, tasks={"ocr": "models.ocr:Ocr"}, otlp_endpoint=collector.url)
        [good] = make_payloads(1, seed=1)
        trace = [("traceparent", f"00-{TRACE}-{PARENT}-01".encode())]
        async with running(config, only=PROCESSES) as supervisor:
            await supervisor.wait_ready(180)
            async with tail(config, topics.predictions("ocr")) as answers:
                await publish(config, topics.requests("ocr"), [Sent(good.payload, b"1", trace)])
                [made] = await answers.until(bool)
                await publish(config, topics.requests("ocr"), [Sent(b"no picture", b"2", trace)])
                _, failed = await answers.until(lambda read: len(read) == 2)
            spans = await collector.until(lambda found: len(found) >= 4)

    def child(parent: str, name: str) -> Taken:
        [found] = [one for one in spans if (one.parent, one.name, one.failed) == (parent, name, False)]
        return found

    assert {one.trace for one in spans} == {TRACE}
    preprocess = child(PARENT, "preprocess")
    inference = child(preprocess.id, "inference")
    model = child(inference.id, "model")
    services = [one.service for one in (preprocess, inference, model)]
    assert services == ["hindsight-preprocess", "hindsight-worker", "hindsight-mlserver"]
    assert inference.leads_to(header(made, "traceparent"))
    [rejected] = [one for one in spans if one.failed]
    assert rejected.leads_to(header(failed, "traceparent"))
