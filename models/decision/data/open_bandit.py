"""The Open Bandit data that the package obp ships: items that a fashion shop's two policies showed, and clicks.

10,000 impressions of each campaign (`all`, `men`, `women`) and policy (`random`, `bts`: Bernoulli Thompson sampling),
of November 2019, with propensities (Saito et al., Open Bandit Dataset and Pipeline, NeurIPS 2021). The package (Apache
2.0) is installed without its dependencies: it is read as files, never imported.

An impression fills one of three positions. It is read as one decision among all items of the campaign.
Categories are hashes that differ from policy to policy: a model that is fitted to one policy's log can't be served on
the other's.
"""

import csv
import json
from dataclasses import dataclass
from importlib.util import find_spec
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


def installed_package() -> Path:
    """Return the directory of the package obp. Raises `ValueError` if it is not installed."""
    spec = find_spec("obp")
    if spec is None or spec.origin is None:
        raise ValueError("The package obp is not installed: `make setup` installs it.")
    return Path(spec.origin).parent


def read_log(package: Path, campaign: Campaign, policy: Policy) -> list[dict[str, str]]:
    """Return the rows of a campaign's log, by column, in the order of time. Raises `ValueError` for another package."""
    return sorted(_rows(package, campaign, policy, campaign), key=lambda row: row["timestamp"])


def load(package: Path, campaign: Campaign, policy: Policy) -> Impressions:
    """Read a campaign from the package. Raises `ValueError` for another package."""
    items, rows = _rows(package, campaign, policy, "item_context"), read_log(package, campaign, policy)
    actions = [_action(item) for item in items]
    context: dict[str, Any] = {name: sorted({row[name] for row in rows}) for name in _USER}
    kinds: dict[str, Any] = {name: sorted({action[name] for action in actions}) for name in _CATEGORIES}
    schema = {
        "context": {**context, "position": ["1", "2", "3"]},
        "actions": {**kinds, "number": "numeric", "affinity": "numeric"},
    }
    return Impressions([_impression(row, actions) for row in rows], schema)


def _rows(package: Path, campaign: Campaign, policy: Policy, name: str) -> list[dict[str, str]]:
    try:
        with (package / "dataset" / "obd" / policy / campaign / f"{name}.csv").open(newline="") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise ValueError(f"{package} is not the package obp 0.5.7: {error}") from error


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
