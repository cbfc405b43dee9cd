"""The Open Bandit data that the package obp ships: items that a fashion shop's two policies showed, and clicks.

10,000 impressions of each campaign (`all`, `men`, `women`) and policy (`random`, `bts`: Bernoulli Thompson sampling),
of November 2019, with propensities (Saito et al., Open Bandit Dataset and Pipeline, NeurIPS 2021). It is read from the
package's archive (Apache 2.0) as it comes from PyPI:

    pip download --no-deps --no-binary :all: --ignore-requires-python obp==0.5.7

An impression fills one of three positions. It is read as one decision among all items of the campaign.
Categories are hashes that differ from policy to policy: a model that is fitted to one policy's log can't be served on
the other's.
"""

import csv
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Campaign = Literal["all", "men", "women"]
Policy = Literal["random", "bts"]
_USER = tuple(f"user_feature_{number}" for number in range(4))
_CATEGORIES = tuple(f"item_feature_{number}" for number in range(1, 4))


@dataclass(frozen=True)
class Impression:
    """One impression: the request for `Decision`, the shown item's id, its propensity, and whether it was clicked."""

    request: dict[str, Any]
    shown: str
    propensity: float
    clicked: bool


@dataclass(frozen=True)
class Impressions:
    """A campaign under one policy, in the order of time, and the schema of its requests."""

    rounds: list[Impression]
    schema: dict[str, Any]


def load(archive: Path, campaign: Campaign, policy: Policy) -> Impressions:
    """Read a campaign from `obp-0.5.7.tar.gz`. Raises `ValueError` for another file."""
    folder = f"obp-0.5.7/obp/dataset/obd/{policy}/{campaign}"
    try:
        with tarfile.open(archive) as tar:
            items, rows = (list(_rows(tar, f"{folder}/{name}.csv")) for name in ("item_context", campaign))
    except (KeyError, OSError, tarfile.TarError) as error:
        raise ValueError(f"{archive} is not the archive of obp 0.5.7: {error}") from error
    actions = [_action(item) for item in items]
    rows.sort(key=lambda row: row["timestamp"])
    context: dict[str, Any] = {name: sorted({row[name] for row in rows}) for name in _USER}
    kinds: dict[str, Any] = {name: sorted({action[name] for action in actions}) for name in _CATEGORIES}
    schema = {
        "context": {**context, "position": ["1", "2", "3"]},
        "actions": {**kinds, "number": "numeric", "affinity": "numeric"},
    }
    return Impressions([_impression(row, actions) for row in rows], schema)


def _rows(tar: tarfile.TarFile, name: str) -> Iterator[dict[str, str]]:
    file = tar.extractfile(name)
    if file is None:
        raise KeyError(name)
    with io.TextIOWrapper(file, "utf-8", newline="") as text:
        yield from csv.DictReader(text)


def _action(item: dict[str, str]) -> dict[str, Any]:
    number, name = float(item["item_feature_0"]), item["item_id"]
    return {"id": name, **{key: item[key] for key in _CATEGORIES}, "number": number}


def _impression(row: dict[str, str], actions: list[dict[str, Any]]) -> Impression:
    context = {**{name: row[name] for name in _USER}, "position": row["position"]}
    offered = [{**action, "affinity": float(row[f"user-item_affinity_{action['id']}"])} for action in actions]
    request = {"context": context, "actions": offered}
    return Impression(request, row["item_id"], float(row["propensity_score"]), row["click"] == "1")


def dumps(impression: Impression) -> bytes:
    """Return the request as an application sends it."""
    return json.dumps(impression.request).encode()
