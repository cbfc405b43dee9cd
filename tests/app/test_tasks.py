import pytest

from app import tasks
from app.embedded.errors import SetupError
from app.settings import Settings


def test_the_setting_with_no_tasks_loads_none() -> None:
    assert tasks.load(Settings(tasks={})) == {}


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
        tasks.load(Settings(tasks={name: path}))
    assert reason in str(caught.value)
    assert repr(path) in caught.value.message
