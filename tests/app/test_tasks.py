import pytest
from pydantic import JsonValue

from app import tasks
from app.errors import SetupError
from app.settings import Settings
from tests.support.tasks import Letters


def test_the_setting_with_no_tasks_loads_none() -> None:
    assert tasks.load_tasks(Settings(tasks={})) == {}


@pytest.mark.parametrize(
    ("name", "path", "reason"),
    [
        ("Ocr", "models.ocr:Ocr", "no name for a task"),
        ("a.b", "models.ocr:Ocr", "no name for a task"),
        ("ocr", "models.ocr", "module:Class"),
        ("ocr", "models.nowhere:Ocr", "No module named 'models.nowhere'"),
        ("ocr", "models.base:Nothing", "no attribute 'Nothing'"),
        ("ocr", "models.base:Rejected", "no models.base.Task"),
        ("ocr", "models.base:Task", "abstract"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_reason_and_remedy(name: str, path: str, reason: str) -> None:
    with pytest.raises(SetupError) as caught:
        tasks.load_tasks(Settings(tasks={name: path}))
    assert reason in str(caught.value)
    assert repr(path) in caught.value.message


class Tuned(Letters):
    def __init__(self, exploration: float = 0.0) -> None:
        if not 0 <= exploration <= 1:
            raise ValueError("exploration is a share")
        self.exploration = exploration


TUNED = {"letters": f"{Tuned.__module__}:Tuned"}


def test_a_task_is_made_with_the_options_of_its_setting() -> None:
    made = tasks.load_tasks(Settings(tasks=TUNED, task_options={"letters": {"exploration": 0.1}}))["letters"]
    assert isinstance(made, Tuned)
    assert made.exploration == 0.1


@pytest.mark.parametrize(("options", "reason"), [({"sped": 1}, "sped"), ({"exploration": 2}, "exploration is a share")])
def test_wrong_options_are_refused_with_their_reason(options: dict[str, JsonValue], reason: str) -> None:
    with pytest.raises(SetupError, match=reason):
        tasks.load_tasks(Settings(tasks=TUNED, task_options={"letters": options}))
