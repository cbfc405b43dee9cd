"""Mutated requests, made from the samples that ship with each task: the same ones of the same seed.

What an application, a broken client or an attacker may put on a requests topic: damaged payloads, headers that break
every rule, envelopes and claim checks of nowhere, keys of all kinds, ids that come twice, and live sessions with gaps.
A session's records lead to one answer, which is that of its name; any other record to one of its own.
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
"""Of a mutant: 100,000 of them go through a platform on two cores."""

Headers = dict[str, bytes]


@dataclass(frozen=True)
class Mutant:
    """A record for the task's requests; of a live session's, `session` is the session's name."""

    task: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    session: str | None = None

    def request_identity(self, origin: Origin) -> tuple[str, str]:
        """The source and id of the request that is answered, once the record stands there."""
        return event_identity(self.headers, origin) if self.session is None else (SOURCE, self.session)


def generate_mutants(tasks: Mapping[str, Task], seed: int) -> Iterator[Mutant]:
    """Mutants without end, of each task in turn."""
    rng = random.Random(seed)
    samples = {name: [one for one in task.samples() if len(one.payload) <= _MAX_BYTES] for name, task in tasks.items()}
    everything = [sample.payload for some in samples.values() for sample in some]
    number = 0
    while True:
        for name, some in samples.items():
            if rng.random() < 0.02:
                made = _mutate_session(rng, name, rng.choice(some).payload, f"s{seed}-{number}")
            else:
                sample = rng.choice(some)
                payload = _mutate_payload(rng, sample.payload, everything)
                made = _mutate_request(rng, name, payload, sample.content_type, f"{seed}-{number}")
            number += 1
            yield from made


def _mutate_request(rng: random.Random, task: str, payload: bytes, content_type: str, unique: str) -> Sequence[Mutant]:
    """A request, and now and then the same one again."""
    value, typed = _wrap_payload(rng, payload, content_type)
    named = {"ce_id": unique.encode(), "ce_source": SOURCE.encode(), **typed, **_make_odd_headers(rng)}
    headers = list(named.items())
    rng.shuffle(headers)
    key = _make_key(rng)
    if key is None and value is None:
        key = b"tombstone"  # aiokafka's producer takes no record without both
    return [Mutant(task, key, value, tuple(headers))] * (2 if rng.random() < 0.02 else 1)


def _mutate_session(rng: random.Random, task: str, payload: bytes, name: str) -> Sequence[Mutant]:
    """The chunks of a live session: shuffled, repeated, and with gaps; the last one comes, and the first."""
    size = max(1, len(payload) // rng.randint(1, 12))
    chunks = [payload[at : at + size] for at in range(0, len(payload), size)]
    order = list(range(1, len(chunks) - 1))
    if rng.random() < 0.5:
        rng.shuffle(order)
    order = [number for number in order if rng.random() < 0.9]
    order += rng.choices(order, k=len(order) // 4) if order else []
    order = [*([0] if len(chunks) > 1 else []), *order, len(chunks) - 1]
    key = name.encode()
    made = []
    for place, number in enumerate(order):
        named = {"ce_session": key, "ce_sequence": str(number).encode(), "ce_source": SOURCE.encode()}
        named["ce_id"] = f"{name}#{place}".encode()
        if place == len(order) - 1:
            named["ce_final"] = b"true"
        made.append(Mutant(task, key, chunks[number], tuple(named.items()), name))
    return made


def _mutate_payload(rng: random.Random, payload: bytes, everything: Sequence[bytes]) -> bytes:
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        mutate: Callable[..., bytes] = rng.choice(
            (_flip_bits, _cut_part, _repeat_part, _splice_part, _overwrite_part, _set_extreme_number, _mutate_json)
        )
        payload = mutate(rng, payload, everything)[:_MAX_BYTES]
    return payload


def _flip_bits(rng: random.Random, payload: bytes, _: Sequence[bytes]) -> bytes:
    """Some bits the other way round: of the beginning, where headers are, as often as of all."""
    found = bytearray(payload)
    reach = min(len(found), rng.choice((64, 512, len(found))))
    for _n in range(rng.choice((1, 2, 8, 64)) if reach else 0):
        found[rng.randrange(reach)] ^= 1 << rng.randrange(8)
    return bytes(found)


def _cut_part(rng: random.Random, payload: bytes, _: Sequence[bytes]) -> bytes:
    """A part left out: the end, the beginning, or something between."""
    start, end = sorted(rng.randint(0, len(payload)) for _n in range(2))
    return rng.choice((payload[:start], payload[end:], payload[:start] + payload[end:]))


def _repeat_part(rng: random.Random, payload: bytes, _: Sequence[bytes]) -> bytes:
    """A part very often."""
    start = rng.randint(0, len(payload))
    end = min(len(payload), start + rng.choice((1, 12, 100, 5_000)))
    times = rng.choice((2, 100, _MAX_BYTES // max(1, end - start)))
    return payload[:end] + payload[start:end] * times + payload[end:]


def _splice_part(rng: random.Random, payload: bytes, everything: Sequence[bytes]) -> bytes:
    """A part of another payload, of whatever task, in the midst of it."""
    other = rng.choice(everything)
    at, start, end = rng.randint(0, len(payload)), *sorted(rng.randint(0, len(other)) for _n in range(2))
    return payload[:at] + other[start:end] + payload[at + rng.choice((0, end - start)) :]


def _overwrite_part(rng: random.Random, payload: bytes, _: Sequence[bytes]) -> bytes:
    """A part of one byte alone."""
    start = rng.randint(0, len(payload))
    length = rng.choice((1, 4, 1_000))
    return payload[:start] + rng.choice((b"\x00", b"\xff", b"{", b"[")) * length + payload[start + length :]


def _set_extreme_number(rng: random.Random, payload: bytes, _: Sequence[bytes]) -> bytes:
    """A number of a header at an extreme: sizes, rates, counts."""
    found = bytearray(payload)
    for _n in range(rng.randint(1, 3)):
        width = rng.choice((1, 2, 4, 8))
        extreme = rng.choice((0, 1, 2 ** (8 * width - 1) - 1, 2 ** (8 * width - 1), 2 ** (8 * width) - 1))
        at = rng.randrange(min(64, len(found)) or 1)
        found[at : at + width] = extreme.to_bytes(width, rng.choice(("big", "little")))
    return bytes(found)


_ODD_VALUES: Sequence[Any] = (
    None, True, 0, -1, 1e308, 10**400, "", "\ud800", "\x00", "x" * 5_000, [], {}, [[[]]], {"id": {}}, "NaN"
)  # fmt: skip


def _mutate_json(rng: random.Random, payload: bytes, _: Sequence[bytes]) -> bytes:
    """Where it is JSON: a value of another kind, a name more or less, a list many times as long."""
    try:
        said = json.loads(payload)
    except (ValueError, RecursionError):
        return rng.choice((b"", b"null", b"[]", b"{}", b"[" * 50_000, b'{"context": {}, "actions": [{}]}', payload))
    where: Any = said
    for _n in range(rng.randint(0, 3) if isinstance(said, dict | list) else 0):
        inner = [one for one in (where.values() if isinstance(where, dict) else where) if isinstance(one, dict | list)]
        if not inner:
            break
        where = rng.choice(inner)
    if isinstance(where, dict):
        name = rng.choice([*where, "another", "", "__proto__"])
        where[name] = rng.choice(_ODD_VALUES)
        if rng.random() < 0.3:
            where.pop(rng.choice(list(where)))
    elif isinstance(where, list):
        where += where[:1] * rng.choice((1, 2_000)) or [rng.choice(_ODD_VALUES)]
    text = json.dumps(said)[:_MAX_BYTES]
    return rng.choice((text, text.replace('"hour": ', '"hour": -'), text.replace(": 0", ": NaN"))).encode()


_SHA = "0123456789abcdef" * 4


def _wrap_payload(rng: random.Random, payload: bytes, content_type: str) -> tuple[bytes | None, Headers]:
    """The value and its content type: bare, in an envelope, or as a claim check."""
    typed = {"content-type": content_type.encode()}
    draw = rng.random()
    if draw < 0.7:
        return payload, rng.choice((typed, typed, {}, {"content-type": rng.choice(_CONTENT_TYPES)}))
    if draw < 0.72:
        return None, typed
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
    """Now and then headers that break a rule. Of `ce_batch` there is none: a batch answers for itself."""
    found: Headers = {}
    if rng.random() < 0.2:
        found |= {rng.choice(_HEADER_NAMES): rng.choice(_HEADER_VALUES) for _ in range(rng.choice((1, 1, 2, 5)))}
    if rng.random() < 0.01:
        found |= {f"x{number}": b"y" for number in range(rng.choice((200, 400)))}
    if rng.random() < 0.05:
        found["ce_time"] = rng.choice((b"0001-01-01T00:00:00+14:00", b"9999-12-31T23:59:59Z", b"1e9"))
    if rng.random() < 0.05:
        found["ce_type"] = rng.choice((b"hindsight.prediction.requested.v9", b"hindsight.", b"com.example.a"))
    return found


def _make_key(rng: random.Random) -> bytes | None:
    long = b"k" * 70_000 if rng.random() < 0.05 else b"k"
    return rng.choice((None, b"", b"key", b"\xff\x00", rng.randbytes(16), long))
