import json
from typing import Any

import pytest
from typer.testing import CliRunner

from app.cli import cli
from app.commands import client

LOSS = {"other": "1", "requests": 300, "mean": -0.05, "lower": -0.09, "upper": -0.01}
SHADOWS = [
    {"version": "3", "losses": [LOSS], "eliminated": None},
    {"version": "2", "losses": [], "eliminated": "It is worse."},
]
COMPARISON = {"task": "ocr", "champion": "1", "since": "2026-01-31T12:00:05Z", "shadows": SHADOWS}


@pytest.mark.parametrize(
    ("ending", "sentence"),
    [
        ({"best": "3", "is_decided": True}, "The best is version 3."),
        ({"best": None, "is_decided": True}, "All are worse than the champion."),
        ({"best": None, "is_decided": False}, "The best is not known yet: more labels of the audit are needed."),
    ],
)
def test_shadows_are_printed_with_their_losses_and_the_best(
    monkeypatch: pytest.MonkeyPatch, ending: dict[str, Any], sentence: str
) -> None:
    paths: list[str] = []
    monkeypatch.setattr(client, "check_same_log", lambda: None)

    def call_api(method: str, path: str) -> dict[str, Any]:
        paths.append(path)
        return COMPARISON | ending

    monkeypatch.setattr(client, "call_api", call_api)
    assert CliRunner().invoke(cli, ["models", "compare", "ocr", "2", "3"]).stdout.splitlines() == [
        "ocr: shadows beside version 1 since 2026-01-31T12:00:05Z",
        "version 3: not worse, as far as is known",
        "  beside    1: mean score lower by -0.0500 (-0.0900 to -0.0100), 300 requests",
        "version 2: It is worse.",
        sentence,
    ]
    result = CliRunner().invoke(cli, ["models", "compare", "ocr", "--json"])
    assert json.loads(result.stdout) == COMPARISON | ending
    assert paths == ["/v1/models/ocr/shadows?version=2&version=3", "/v1/models/ocr/shadows?"]
