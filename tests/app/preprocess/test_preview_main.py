import pytest

from app.preprocess import preview_main
from tests.models.vision.test_previews import empty_pdf


def test_a_page_is_answered_with_its_picture() -> None:
    name, jpeg, width, height, pages = preview_main.answer(empty_pdf((144, 72)), 0, 10_000)
    assert (name, pages) == ("preview", 1)
    assert jpeg.startswith(b"\xff\xd8\xff")
    assert (width, height) == (144, 72)


@pytest.mark.parametrize(("error", "code"), [(MemoryError(), "out_of_memory"), (KeyError("a damaged table"), "broken")])
def test_no_error_of_a_decoder_ends_the_process(monkeypatch: pytest.MonkeyPatch, error: Exception, code: str) -> None:
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(preview_main, "draw_preview", fail)
    assert preview_main.answer(b"", 0, 1)[:2] == ("refused", code)
