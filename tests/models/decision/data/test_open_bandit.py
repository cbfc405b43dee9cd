"""The loader of the Open Bandit data, on files of the same form with two items and three impressions."""

import json
from pathlib import Path

import pytest

from models.decision import Decision
from models.decision.data.open_bandit import dumps, load
from models.decision.request import ids_of

ITEMS = """,item_id,item_feature_0,item_feature_1,item_feature_2,item_feature_3
0,0,-0.5,aa,bb,cc
1,1,0.25,ab,bb,cd
"""
MEN = """,timestamp,item_id,position,click,propensity_score,\
user_feature_0,user_feature_1,user_feature_2,user_feature_3,user-item_affinity_0,user-item_affinity_1
0,2019-11-24 00:00:02+00:00,1,3,0,0.5,u,v,w,x,0.0,2.0
1,2019-11-24 00:00:01+00:00,0,1,1,0.25,u,v,w,y,1.0,0.0
2,2019-11-24 00:00:03+00:00,0,2,0,0.5,t,v,w,x,0.0,0.0
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    directory = tmp_path / "dataset/obd/random/men"
    directory.mkdir(parents=True)
    for name, text in (("item_context", ITEMS), ("men", MEN)):
        (directory / f"{name}.csv").write_text(text)
    return tmp_path


def test_impressions_come_in_the_order_of_time(package: Path) -> None:
    rounds = load(package, "men", "random").rounds
    assert [(one.shown, one.propensity, one.clicked) for one in rounds] == [
        ("0", 0.25, True),
        ("1", 0.5, False),
        ("0", 0.5, False),
    ]


def test_an_impression_is_a_request_of_all_items_with_the_user_s_affinity_to_each(package: Path) -> None:
    request = load(package, "men", "random").rounds[1].request
    assert request["context"]["position"] == "3"
    assert [action["affinity"] for action in request["actions"]] == [0.0, 2.0]
    assert [action["number"] for action in request["actions"]] == [-0.5, 0.25]


def test_requests_fit_the_schema_that_is_made_of_the_data(package: Path, tmp_path: Path) -> None:
    impressions = load(package, "men", "random")
    (tmp_path / "schema.json").write_text(json.dumps(impressions.schema))
    task = Decision(schema=str(tmp_path / "schema.json"))
    for one in impressions.rounds:
        assert ids_of(task.preprocess(dumps(one))) == ["0", "1"]


def test_a_package_that_is_another_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not the package obp"):
        load(tmp_path / "other", "men", "random")
