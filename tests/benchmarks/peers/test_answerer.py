"""A peer answers every payload, in order."""

import json
from collections.abc import Sequence
from itertools import islice

from app.registry.shipped import shipped_champion, shipped_versions
from benchmarks.peers.answerer import Answerer
from models.base import Sample
from models.small.ocr import Ocr
from models.small.ocr.data.lines import make_payloads


def answer(samples: Sequence[bytes]) -> list[dict[str, object]]:
    task = Ocr()
    answerer = Answerer(task, shipped_versions(task)[shipped_champion(task).version])
    return [json.loads(document) for document in answerer(samples)]


def test_a_batch_has_the_answers_of_its_payloads_one_by_one() -> None:
    samples: list[Sample] = list(islice(make_payloads(20, 1), 20))
    payloads = [sample.payload for sample in samples]
    texts = [document["output"] for document in answer(payloads)]
    assert texts == [document["output"] for payload in payloads for document in answer([payload])]
    assert texts != [texts[0]] * len(texts)


def test_an_unreadable_payload_has_an_answer_and_harms_no_other() -> None:
    [sample] = make_payloads(1, 1)
    first, unreadable, last = answer([sample.payload, b"no picture", sample.payload])
    assert "error" in unreadable
    assert first == last
