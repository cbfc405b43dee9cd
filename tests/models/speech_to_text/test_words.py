"""Words as they are compared."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.speech_to_text.words import spoken


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("  Turn ON,\tthe  light - please! ", "turn on the light please"),
        ("It's twenty-one o’clock.", "it's twenty one o'clock"),
        ("'Quoted', he said", "quoted he said"),
        ("Ｃａｆé, naïve_one", "café naïve one"),
        ("...", ""),
        ("Press 1, or 28.8", "press one or twenty eight eight"),
        ("12,345 and 1,000,000", "twelve thousand three hundred forty five and one million"),
        ("0 007 500", "zero zero zero seven five hundred"),
        ("1234567890", "one two three four five six seven eight nine zero"),
        ("21st at 5pm", "twenty one st at five pm"),
    ],
)
def test_case_punctuation_and_spaces_are_not_heard(text: str, words: str) -> None:
    assert spoken(text) == words


@given(st.text(max_size=40))
def test_spoken_words_stay_as_they_are(text: str) -> None:
    assert spoken(spoken(text)) == spoken(text)
