import pytest

from app.errors import SetupError
from app.registry.cards import card_figures, parse_card


def test_a_card_has_figures_by_name_or_none() -> None:
    card = parse_card(b'{"figures": {"wer": 0.1, "words": 20}, "licence": "MIT"}', "card.json")
    assert card_figures(card, "card.json") == {"wer": 0.1, "words": 20.0}
    assert card_figures({}, "card.json") == {}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"figures: 1", "it is not JSON"),
        (b'{"figures": {"wer": NaN}}', "it is not JSON"),
        (b'{"figures": {"wer": 1e999}}', "it is not JSON"),
        (b'{"figures": {"wer": 1' + b"0" * 400 + b"}}", "its figure 'wer' is not a number"),
        (b"[" * 100_000, "it is not JSON"),
        (b'{"licence": "\\ud800"}', "it is not JSON"),
        (b"[]", "it is not a JSON object"),
        (b'{"figures": [1]}', "its figures are not a JSON object"),
        (b'{"figures": {"wer": "low"}}', "its figure 'wer' is not a number"),
        (b'{"figures": {"wer": true}}', "its figure 'wer' is not a number"),
    ],
)
def test_what_is_no_card_is_refused_with_a_remedy(content: bytes, says: str) -> None:
    with pytest.raises(SetupError, match=r"card\.json is not a valid card") as refused:
        parse_card(content, "card.json")
    assert says in refused.value.message
    assert refused.value.remedy
