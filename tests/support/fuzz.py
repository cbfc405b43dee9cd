"""Mutated requests, made from the samples of each task: the same for the same seed.

They are what a broken client or an attacker may publish on a requests topic: damaged payloads, headers that break every
rule, envelopes and claim checks without a blob, keys of all kinds, repeated ids, and live sessions with gaps. The
records of a session lead to one answer, to the session's name; every other record leads to an answer of its own.
"""

import base64
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.events.cloudevents import JSON, Origin, event_identity
from models.base import Task

SOURCE = "fuzz"
_MAX_BYTES = 120_000
"""The limit of a mutant: 100,000 of them go through a platform on two cores."""

Headers = dict[str, bytes]


@dataclass(frozen=True)
class Mutant:
    """A record for the task's requests; `session` is the name of its live session, if it has one."""

    task: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    session: str | None = None

    def request_identity(self, origin: Origin) -> tuple[str, str]:
        """Return the source and id of the request that is answered, if the record is at this place in the log."""
        return event_identity(self.headers, origin) if self.session is None else (SOURCE, self.session)


def generate_mutants(tasks: Mapping[str, Task], seed: int) -> Iterator[Mutant]:
    """Yield mutants without end, of each task in turn."""
    rng = random.Random(seed)
    samples = {
        name: [sample for sample in task.samples() if len(sample.payload) <= _MAX_BYTES] for name, task in tasks.items()
    }
    all_payloads = [sample.payload for task_samples in samples.values() for sample in task_samples]
    number = 0
    while True:
        for name, task_samples in samples.items():
            if rng.random() < 0.02:
                mutants = _mutate_session(rng, name, rng.choice(task_samples).payload, f"s{seed}-{number}")
            else:
                sample = rng.choice(task_samples)
                payload = _mutate_payload(rng, sample.payload, all_payloads)
                mutants = _mutate_request(rng, name, payload, sample.content_type, f"{seed}-{number}")
            number += 1
            yield from mutants


def _mutate_request(rng: random.Random, task: str, payload: bytes, content_type: str, id: str) -> Sequence[Mutant]:
    """Return a request, sometimes twice."""
    value, type_header = _wrap_payload(rng, payload, content_type)
    headers_by_name = {"ce_id": id.encode(), "ce_source": SOURCE.encode(), **type_header, **_make_odd_headers(rng)}
    headers = list(headers_by_name.items())
    rng.shuffle(headers)
    key = _make_key(rng)
    if key is None and value is None:
        key = b"tombstone"  # aiokafka's producer rejects a record without both
    return [Mutant(task, key, value, tuple(headers))] * (2 if rng.random() < 0.02 else 1)


def _mutate_session(rng: random.Random, task: str, payload: bytes, name: str) -> Sequence[Mutant]:
    """Return the chunks of a live session: shuffled, repeated, and with gaps, but with the first and the last one."""
    size = max(1, len(payload) // rng.randint(1, 12))
    chunks = [payload[at : at + size] for at in range(0, len(payload), size)]
    order = list(range(1, len(chunks) - 1))
    if rng.random() < 0.5:
        rng.shuffle(order)
    order = [number for number in order if rng.random() < 0.9]
    order += rng.choices(order, k=len(order) // 4) if order else []
    order = [*([0] if len(chunks) > 1 else []), *order, len(chunks) - 1]
    key = name.encode()
    mutants = []
    for index, number in enumerate(order):
        headers = {"ce_session": key, "ce_sequence": str(number).encode(), "ce_source": SOURCE.encode()}
        headers["ce_id"] = f"{name}#{index}".encode()
        if index == len(order) - 1:
            headers["ce_final"] = b"true"
        mutants.append(Mutant(task, key, chunks[number], tuple(headers.items()), name))
    return mutants


def _mutate_payload(rng: random.Random, payload: bytes, all_payloads: Sequence[bytes]) -> bytes:
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        mutate: Callable[..., bytes] = rng.choice(
            (_flip_bits, _cut_part, _repeat_part, _splice_part, _overwrite_part, _set_extreme_number, _mutate_json)
        )
        payload = mutate(rng, payload, all_payloads)[:_MAX_BYTES]
    return payload


def _flip_bits(rng: random.Random, payload: bytes, _: Sequence[bytes]) -> bytes:
    """Flip some bits, often at the beginning, where headers are."""
    mutated = bytearray(payload)
    size = min(len(mutated), rng.choice((64, 512, len(mutated))))
    for _n in range(rng.choice((1, 2, 8, 64)) if size else 0):
        mutated[rng.randrange(size)] ^= 1 << rng.randrange(8)
    return bytes(mutated)


def _cut_part(rng: random.Random, payload: bytes, _: Sequence[bytes]) -> bytes:
    """Cut out the end, the beginning, or a part between."""
    start, end = sorted(rng.randint(0, len(payload)) for _n in range(2))
    return rng.choice((payload[:start], payload[end:], payload[:start] + payload[end:]))


def _repeat_part(rng: random.Random, payload: bytes, _: Sequence[bytes]) -> bytes:
    """Repeat a part many times."""
    start = rng.randint(0, len(payload))
    end = min(len(payload), start + rng.choice((1, 12, 100, 5_000)))
    times = rng.choice((2, 100, _MAX_BYTES // max(1, end - start)))
    return payload[:end] + payload[start:end] * times + payload[end:]


def _splice_part(rng: random.Random, payload: bytes, all_payloads: Sequence[bytes]) -> bytes:
    """Insert a part of another payload, of any task."""
    other = rng.choice(all_payloads)
    position, start, end = rng.randint(0, len(payload)), *sorted(rng.randint(0, len(other)) for _n in range(2))
    return payload[:position] + other[start:end] + payload[position + rng.choice((0, end - start)) :]


def _overwrite_part(rng: random.Random, payload: bytes, _: Sequence[bytes]) -> bytes:
    """Overwrite a part with one repeated byte."""
    start = rng.randint(0, len(payload))
    length = rng.choice((1, 4, 1_000))
    return payload[:start] + rng.choice((b"\x00", b"\xff", b"{", b"[")) * length + payload[start + length :]


def _set_extreme_number(rng: random.Random, payload: bytes, _: Sequence[bytes]) -> bytes:
    """Set a number in the first bytes, such as a size, a rate or a count, to an extreme."""
    mutated = bytearray(payload)
    for _n in range(rng.randint(1, 3)):
        width = rng.choice((1, 2, 4, 8))
        extreme = rng.choice((0, 1, 2 ** (8 * width - 1) - 1, 2 ** (8 * width - 1), 2 ** (8 * width) - 1))
        position = rng.randrange(min(64, len(mutated)) or 1)
        mutated[position : position + width] = extreme.to_bytes(width, rng.choice(("big", "little")))
    return bytes(mutated)


_ODD_VALUES: Sequence[Any] = (
    None, True, 0, -1, 1e308, 10**400, "", "\ud800", "\x00", "x" * 5_000, [], {}, [[[]]], {"id": {}}, "NaN"
)  # fmt: skip


def _mutate_json(rng: random.Random, payload: bytes, _: Sequence[bytes]) -> bytes:
    """Change a JSON payload: a value of another type, one name more or less, or a list many times as long."""
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError):
        return rng.choice((b"", b"null", b"[]", b"{}", b"[" * 50_000, b'{"context": {}, "actions": [{}]}', payload))
    node: Any = document
    for _n in range(rng.randint(0, 3) if isinstance(document, dict | list) else 0):
        values = node.values() if isinstance(node, dict) else node
        children = [value for value in values if isinstance(value, dict | list)]
        if not children:
            break
        node = rng.choice(children)
    if isinstance(node, dict):
        name = rng.choice([*node, "another", "", "__proto__"])
        node[name] = rng.choice(_ODD_VALUES)
        if rng.random() < 0.3:
            node.pop(rng.choice(list(node)))
    elif isinstance(node, list):
        node += node[:1] * rng.choice((1, 2_000)) or [rng.choice(_ODD_VALUES)]
    text = json.dumps(document)[:_MAX_BYTES]
    return rng.choice((text, text.replace('"hour": ', '"hour": -'), text.replace(": 0", ": NaN"))).encode()


_SHA = "0123456789abcdef" * 4


def _wrap_payload(rng: random.Random, payload: bytes, content_type: str) -> tuple[bytes | None, Headers]:
    """Return the value and its content type: a bare payload, an envelope, or a claim check."""
    type_header = {"content-type": content_type.encode()}
    draw = rng.random()
    if draw < 0.7:
        odd_header = {"content-type": rng.choice(_CONTENT_TYPES)}
        return payload, rng.choice((type_header, type_header, {}, odd_header))
    if draw < 0.72:
        return None, type_header
    text = base64.b64encode(payload).decode()
    envelope: Any = rng.choice(
        (
            {"data_base64": text},
            {"data_base64": text[:-1]},
            {"data_base64": text + "\u00e9"},
            {"data_base64": 7},
            {"data_base64": text, "uri": "blob://sha256/" + _SHA},
            {"uri": "blob://sha256/" + _SHA},
            {"uri": "blob://sha256/" + _SHA.upper()},
            {"uri": "blob://sha256/../../../../etc/passwd"},
            {"uri": "file:///etc/passwd"},
            {"uri": "http://127.0.0.1:1/"},
            {"uri": ["blob://"]},
            {"uri": "blob://" + "x" * 10_000},
            ["data_base64"],
        )
    )
    value = json.dumps(envelope).encode()
    return rng.choice((value, value, value[:-1], b"\xef\xbb\xbf" + value)), {"content-type": JSON.encode()}


_CONTENT_TYPES = (b"application/json", b"image/png", b"audio/wav", b"", b"\xff", b"text/html; x=" + b"y" * 600)
_HEADER_NAMES = (
    *("ce_id", "ce_source", "ce_type", "ce_time", "ce_subject", "ce_specversion", "ce_tensors", "ce_missing"),
    *("ce_stream", "ce_sequence", "ce_replay", "ce_partial", "traceparent", "content-type"),
    *("ce_" + "x" * 30, "ce_\u00fc", "", "x"),
)
_HEADER_VALUES = (
    *(b"", b"\xff\xfe", b"\x00", b"a\nb", b"x" * 600, b"\xed\xa0\x80", b"true", b"0"),
    "\u00e9 \u202e \U0001f600".encode(),
)


def _make_odd_headers(rng: random.Random) -> Headers:
    """Return headers that break a rule, or none. `ce_batch` is not among them: a batch answers its requests itself."""
    headers: Headers = {}
    if rng.random() < 0.2:
        headers |= {rng.choice(_HEADER_NAMES): rng.choice(_HEADER_VALUES) for _ in range(rng.choice((1, 1, 2, 5)))}
    if rng.random() < 0.01:
        headers |= {f"x{number}": b"y" for number in range(rng.choice((200, 400)))}
    if rng.random() < 0.05:
        headers["ce_time"] = rng.choice((b"0001-01-01T00:00:00+14:00", b"9999-12-31T23:59:59Z", b"1e9"))
    if rng.random() < 0.05:
        headers["ce_type"] = rng.choice((b"hindsight.prediction.requested.v9", b"hindsight.", b"com.example.a"))
    return headers


def _make_key(rng: random.Random) -> bytes | None:
    long = b"k" * 70_000 if rng.random() < 0.05 else b"k"
    return rng.choice((None, b"", b"key", b"\xff\x00", rng.randbytes(16), long))
