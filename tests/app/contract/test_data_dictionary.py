from app.contract import data_dictionary
from app.settings import CHECKOUT


def test_the_dictionary_in_the_documentation_is_up_to_date() -> None:
    committed = (CHECKOUT / "docs" / "events.md").read_text()
    assert committed == data_dictionary.render_markdown().rstrip() + "\n", (
        "run `hindsight dictionary --out docs/events.md`"
    )


def test_a_field_has_its_type_its_default_and_its_description() -> None:
    lines = data_dictionary.render_markdown().splitlines()
    assert "| `propensity` | number above 0 to 1 | " in "\n".join(lines)
    assert (
        "| `canary_share` | number from 0 to 1, by default 0.0 | The share of requests that the canary answers. |"
        in lines
    )
    assert "| `interval` | [number, number] | The confidence interval of the score: lower and upper end. |" in lines
    assert (
        "| `model.version` | string | The version in the registry, such as `3`; for a candidate, the id of its run. |"
        in lines
    )
