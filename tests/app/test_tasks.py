import pytest
from pydantic import JsonValue

from app import tasks
from app.errors import SetupError
from app.settings import Settings
from tests.support.tasks import Letters


def test_a_setting_without_tasks_loads_none() -> None:
    assert tasks.load_tasks(Settings(tasks={})) == {}


@pytest.mark.parametrize(
    ("name", "path", "reason"),
    [
        ("Ocr", "models.small.ocr:Ocr", "not a valid name"),
        ("a.b", "models.small.ocr:Ocr", "not a valid name"),
        ("ocr", "models.small.ocr", "module:Class"),
        ("ocr", "models.nowhere:Ocr", "No module named 'models.nowhere'"),
        ("ocr", "models.base:Nothing", "no attribute 'Nothing'"),
        ("ocr", "models.base:Rejected", "not a models.base.Task"),
        ("ocr", "models.base:Task", "abstract"),
    ],
)
def test_an_invalid_setting_is_an_error_with_reason_and_remedy(name: str, path: str, reason: str) -> None:
    with pytest.raises(SetupError) as caught:
        tasks.load_tasks(Settings(tasks={name: path}))
    assert reason in str(caught.value)
    assert repr(path) in caught.value.message


class LettersWithOptions(Letters):
    def __init__(self, exploration: float = 0.0) -> None:
        if not 0 <= exploration <= 1:
            raise ValueError("exploration is a share")
        self.exploration = exploration


TASKS = {"letters": f"{LettersWithOptions.__module__}:LettersWithOptions"}


def test_a_task_is_created_with_the_options_of_its_setting() -> None:
    task = tasks.load_tasks(Settings(tasks=TASKS, task_options={"letters": {"exploration": 0.1}}))["letters"]
    assert isinstance(task, LettersWithOptions)
    assert task.exploration == 0.1


@pytest.mark.parametrize(("options", "reason"), [({"sped": 1}, "sped"), ({"exploration": 2}, "exploration is a share")])
def test_invalid_options_are_an_error_with_the_reason(options: dict[str, JsonValue], reason: str) -> None:
    with pytest.raises(SetupError, match=reason):
        tasks.load_tasks(Settings(tasks=TASKS, task_options={"letters": options}))
