"""The comparison page, rendered on the server without a browser."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from xml.etree import ElementTree

import pytest
from nicegui import Client
from nicegui.element import Element
from nicegui.page import page

from app.events.base import ModelRef
from app.events.comparison import ComparedPart, ComparedSlices, Comparison, ModelCompared
from app.events.lifecycle import RetrainingTriggered
from app.events.model_events import ModelRegistered
from app.pages.elements import Node
from app.pages.registry.comparison import candidate_name, render_run, url
from app.pages.registry.comparison_chart import value_chart
from app.registry.runs import Run, last_compared
from tests.support.datasets import START

LOSS = (-0.2, -0.3, -0.1)


def part(hour: int = 0, doubts: tuple[str, ...] = (), **more: Any) -> ComparedPart:
    values: dict[str, Any] = {
        "start": START + timedelta(hours=hour),
        "end": START + timedelta(hours=hour, minutes=50),
        "count": 1_200,
        "entities": 300,
        "effective": 800.0,
        "candidate": (0.5, 0.4, 0.6),
        "champion": (0.7, 0.6, 0.8),
        "difference": LOSS,
        "doubts": doubts,
    }
    return ComparedPart(**values | more)


def run(*comparisons: Comparison) -> Run:
    model = ModelRef(name="ocr", version="run-1")
    triggered = RetrainingTriggered(task="ocr", run_id="run-1", trigger="manual", champion="3", evidence={})
    compared = ModelCompared(
        task="ocr", run_id="run-1", model=model, champion="3", dataset="abc", comparisons=comparisons
    )
    found = Run("run-1", triggered, START)
    found.apply(compared, START)
    return found


COMPARISON = Comparison(
    evidence="off_policy",
    unit="decision",
    estimator="dr",
    level=0.95,
    simultaneous=3,
    total=part(),
    over_time=(part(0), part(1, ("Too few.",))),
    slices=(ComparedSlices(column="request_source", parts=(part(slice="<b>app</b>", difference=None),), left_out=4),),
)


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(page("/")) as client:
        yield client


def texts(element: Element) -> list[str]:
    own = [element._text] if isinstance(element, Node) and element._text else []
    return [*own, *(text for child in element for text in texts(child))]


def rendered(shown: Run | None) -> tuple[Node, list[str]]:
    with Node("main") as content:
        render_run(shown, [shown] if shown else [], "ocr")
    return content, texts(content)


def cells(content: Node) -> list[Node]:
    return [node for node in content.descendants() if isinstance(node, Node) and node.tag == "td"]


def test_a_comparison_shows_both_versions_by_time_and_slice_with_doubts(client: Client) -> None:
    content, shown = rendered(run(COMPARISON))
    assert "By rewards, valued off policy (dr)" in shown
    assert "1,200 decisions of the split test." in shown
    assert {"candidate", "version 3", "request_source (4 smaller ones left out)", "Too few."} <= set(shown)
    assert shown.count("-0.2000 [-0.3000, -0.1000]") == 3
    assert any("all 3 spans and slices hold at once" in text for text in shown)
    verdicts = [cell.classes for cell in cells(content) if cell._text == "-0.2000 [-0.3000, -0.1000]"]
    assert ["bad" in verdict for verdict in verdicts] == [True, False, True], "what is in doubt has no verdict"


def test_a_run_without_a_comparison_says_how_to_make_one(client: Client) -> None:
    assert "No comparison yet" in rendered(None)[1]
    assert "No comparison yet" in rendered(Run("run-2", run().triggered, START))[1]
    assert any("neither labels of the audit nor rewards" in text for text in rendered(run())[1])


def test_the_page_of_a_task_is_that_of_its_last_comparison() -> None:
    first, second = run(COMPARISON), Run("run-2", run().triggered, START)
    assert last_compared({"run-1": first, "run-2": second}) is first
    assert last_compared({"run-2": second}) is None
    assert url("ocr", "run-1") == "/models/comparison?task=ocr&run=run-1"


def test_a_candidate_has_the_number_of_its_version_once_it_is_registered() -> None:
    found = run(COMPARISON)
    assert candidate_name(found) == "candidate"
    found.lead.registered = ModelRegistered(
        task="ocr", model=ModelRef(name="ocr", version="4"), artifact="a", card={}, preprocess_version="1"
    )
    assert candidate_name(found) == "version 4"


def test_the_chart_has_a_band_and_a_line_for_each_version_in_each_span() -> None:
    chart = ElementTree.fromstring(value_chart(COMPARISON.over_time))
    bands = [(rect.get("class"), float(rect.get("x") or 0), float(rect.get("y") or 0)) for rect in chart.iter("rect")]
    assert [style for style, *_ in bands] == ["champion", "candidate", "champion doubted", "candidate doubted"]
    assert bands[0][1] == bands[1][1] < bands[2][1]
    assert bands[0][2] < bands[1][2], "what earns more is above"
    lines = [line.get("class") for line in chart.iter("line") if line.get("class") != "grid"]
    assert lines == [style for style, *_ in bands]


def test_a_chart_without_intervals_is_empty_and_one_of_equal_values_is_drawn() -> None:
    assert value_chart([part(candidate=None, champion=None)]) == value_chart([]) == ""
    same = part(end=START, candidate=(0.0, 0.0, 0.0), champion=(0.0, 0.0, 0.0))
    assert "nan" not in value_chart([same])
