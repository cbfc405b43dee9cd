from dataclasses import replace

import pytest

from app.dead_letters.letter import format_redeliveries
from tests.support.dead_letters import LETTER


@pytest.mark.parametrize(("count", "text"), [(None, ""), (0, ""), (1, "replayed once"), (2, "replayed 2 times")])
def test_redeliveries_are_counted_in_words(count: int | None, text: str) -> None:
    assert format_redeliveries(replace(LETTER, redeliveries=count)) == text
