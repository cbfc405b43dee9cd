from app.errors import describe


def test_an_error_is_described_by_its_text_and_by_its_type_where_it_has_none() -> None:
    assert describe(OSError("the disk is full")) == "the disk is full"
    assert describe(TimeoutError()) == "TimeoutError"
