import uuid

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.events.ids import prediction_id, task_of

PREDICTION = prediction_id("letters", "app", "1")
names = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=40)


@given(names, names, names)
def test_requests_with_equal_ids_of_different_sources_never_collide(
    request: str, first_source: str, second_source: str
) -> None:
    assume(first_source != second_source)
    assert prediction_id("letters", first_source, request) != prediction_id("letters", second_source, request)


@given(st.tuples(names, names), st.tuples(names, names))
def test_a_prediction_has_one_request(first: tuple[str, str], second: tuple[str, str]) -> None:
    ids = [prediction_id("letters", *request) for request in (first, second)]
    assert (ids[0] == ids[1]) == (first == second)


@given(st.from_regex(r"[a-z][a-z0-9_]*", fullmatch=True), names, names)
def test_a_predictions_id_names_its_task(task: str, source: str, request: str) -> None:
    assert task_of(prediction_id(task, source, request)) == task


@pytest.mark.parametrize("id", ["", "letters", "letters:", "letters:1", f":{uuid.UUID(int=1)}", PREDICTION.upper()])
def test_a_text_that_is_not_a_prediction_id_names_no_task(id: str) -> None:
    with pytest.raises(ValueError, match="is not a prediction id"):
        task_of(id)
