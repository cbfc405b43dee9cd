"""Which features a context and an action have, and how they become numbers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from models.base import Rejected

NUMERIC = "numeric"
SHIPPED = Path(__file__).parent / "schema.json"
_FLOAT32_MAX = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Group:
    """The features of a context or of an action: a name, and `numeric` or the values of a category.

    As numbers a numeric feature takes one column, and a category one for each of its values (1.0 for the one that it
    has, 0.0 for the others), in the schema's order. A value that the schema does not list is none of them: all 0.0.
    """

    title: str
    kinds: dict[str, str | tuple[str, ...]]

    @classmethod
    def read(cls, title: str, declared: object) -> Self:
        """Read a group from a schema's JSON. Raises `ValueError`."""
        if not isinstance(declared, dict):
            raise ValueError(f"the schema's {title!r} must be an object: a name and a kind for each feature")
        kinds: dict[str, str | tuple[str, ...]] = {}
        for name, kind in declared.items():
            if kind == NUMERIC:
                kinds[name] = NUMERIC
            elif isinstance(kind, list) and kind and all(isinstance(value, str) for value in kind):
                if len(set(kind)) < len(kind):
                    raise ValueError(f"the category {name!r} of {title!r} has a value twice")
                kinds[name] = tuple(kind)
            else:
                raise ValueError(f'the kind of {name!r} in {title!r} must be "numeric" or a list of strings')
        return cls(title, kinds)

    @property
    def columns(self) -> int:
        """How many numbers they become."""
        return sum(1 if kind == NUMERIC else len(kind) for kind in self.kinds.values())

    @property
    def numeric(self) -> NDArray[np.bool_]:
        """Which columns are numbers of a numeric feature."""
        kinds = self.kinds.values()
        return np.array(
            [column for kind in kinds for column in ([True] if kind == NUMERIC else [False] * len(kind))], bool
        )

    @property
    def names(self) -> list[str]:
        """What each column is called: `budget`, `device=phone`."""
        return [
            name if isinstance(kind, str) else f"{name}={value}"
            for name, kind in self.kinds.items()
            for value in ([kind] if isinstance(kind, str) else kind)
        ]

    def encode(self, given: Mapping[str, Any], where: str, out: NDArray[np.float32]) -> None:
        """Write the numbers into `out` (columns,), all zero; `where` is named in messages. Raises `Rejected`.

        Other features than the schema's are ignored.
        """
        if not given.keys() >= self.kinds.keys():
            lacking, known = [name for name in self.kinds if name not in given], ", ".join(self.kinds)
            raise Rejected("missing_feature", f"{where} lacks {_few(lacking)}; the schema needs all of: {known}")
        column = 0
        for name, kind in self.kinds.items():
            value = given[name]
            if isinstance(kind, str):
                out[column] = _number(value, name, where)
                column += 1
            else:
                if (place := _place(value, kind, name, where)) is not None:
                    out[column + place] = 1.0
                column += len(kind)

    def count_unknown(self, rows: NDArray[np.float32]) -> dict[str, int]:
        """Return in how many rows (n, columns) each category has a value that the schema does not list."""
        counts, column = {}, 0
        for name, kind in self.kinds.items():
            width = 1 if isinstance(kind, str) else len(kind)
            if not isinstance(kind, str):
                counts[name] = int((~rows[:, column : column + width].any(axis=1)).sum())
            column += width
        return counts


def _number(value: object, name: str, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Rejected("wrong_type", f"{name!r} of {where} is {_shown(value)}; a number is needed")
    if not abs(value) <= _FLOAT32_MAX:  # NaN as well
        raise Rejected("not_finite", f"{name!r} of {where} is {_shown(value)}; a number within 3.4e38 is needed")
    return float(value)


def _place(value: object, values: tuple[str, ...], name: str, where: str) -> int | None:
    """Return a value's place among those of its category; None if it is not one of them."""
    if not isinstance(value, str):
        raise Rejected(
            "wrong_type", f"{name!r} of {where} is {_shown(value)}; one of the strings {_few(values)} is needed"
        )
    return values.index(value) if value in values else None


def _shown(value: object) -> str:
    try:
        text = json.dumps(value)
    except ValueError:  # an integer of more digits than Python prints
        return "a number of very many digits"
    return text if len(text) <= 40 else f"{text[:39]}…"


def _few(names: list[str] | tuple[str, ...]) -> str:
    shown = ", ".join(map(_shown, names[:10]))
    return shown if len(names) <= 10 else f"{shown} and {len(names) - 10} more"


@dataclass(frozen=True)
class Schema:
    """The features of requests: `{"context": {name: kind}, "actions": {name: kind}}`.

    A kind is `"numeric"` or the list of a category's values. An action needs one feature at least. That may be its
    `id`, as a category: for a log whose actions have no other.
    """

    context: Group
    actions: Group

    @classmethod
    def of(cls, declared: object) -> Self:
        """Read a schema from its JSON. Raises `ValueError`."""
        if not isinstance(declared, dict) or declared.keys() != {"context", "actions"}:
            raise ValueError('a schema is {"context": {name: kind}, "actions": {name: kind}}')
        actions = Group.read("actions", declared["actions"])
        if not actions.kinds:
            raise ValueError(
                "actions without a feature can't be told from one another: the schema needs one at least, such as "
                'their "id" with the list of all ids'
            )
        if actions.kinds.get("id") == NUMERIC:
            raise ValueError('the "id" of actions is a text: its kind must be the list of all ids')
        return cls(Group.read("context", declared["context"]), actions)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a schema file. Raises `ValueError`."""
        try:
            return cls.of(json.loads(path.read_bytes()))
        except (OSError, ValueError) as error:
            raise ValueError(f"the schema {path} can't be used: {error}") from error

    def described(self) -> dict[str, Any]:
        """Return the schema as JSON, for a model's card and metadata."""
        return {
            group.title: {name: kind if isinstance(kind, str) else list(kind) for name, kind in group.kinds.items()}
            for group in (self.context, self.actions)
        }
