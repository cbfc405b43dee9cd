"""Elements with client-side behaviour, each a Vue component in `components/`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from nicegui.element import Element
from nicegui.events import GenericEventArguments

PictureSource = Mapping[Literal["src", "pages"], str]
"""The URL of a picture that browsers show, `src`, or the path of drawn pages, `pages`."""


class KeyListener(Element, component="components/keys.js"):
    """Calls `on_key` with each of these keys that is pressed outside of fields, or Enter in a `data-answer` field."""

    def __init__(self, keys: Sequence[str], on_key: Callable[[str], Any]) -> None:
        super().__init__()
        self._props["keys"] = list(keys)
        self.on("key", lambda event: on_key(str(event.args)))


class BoxEditor(Element, component="components/boxes.js"):
    """A picture with editable boxes. A change calls `on_change` with all boxes, in pixels of the picture."""

    def __init__(
        self,
        source: PictureSource,
        boxes: Sequence[dict[str, Any]],
        labels: Sequence[str],
        on_change: Callable[[list[dict[str, Any]]], None],
    ) -> None:
        super().__init__()
        self._props.update(source)
        self._props["boxes"] = list(boxes)
        self._props["labels"] = list(labels)

        def on_event(event: GenericEventArguments) -> None:
            on_change(event.args)

        self.on("change", on_event)


class PagesEditor(Element, component="components/pages.js"):
    """The pages of a file, with the outlines of `lines`, which have text, polygon, confidence and page.

    Beside them are the texts of the lines, or the whole text; not if `text` is None. A change calls `on_change` with
    `{"text": ...}`, or `{"texts": [...], "all": ...}`, whether the viewer has checked all lines, at first `checked`.
    `compact` pages are small, and one can't turn or zoom them.
    """

    def __init__(
        self,
        source: PictureSource,
        lines: Sequence[dict[str, Any]] = (),
        text: str | None = None,
        checked: bool = False,
        on_change: Callable[[dict[str, Any]], None] = lambda change: None,
        compact: bool = False,
    ) -> None:
        super().__init__()
        self._props.update(source)
        self._props.update(lines=list(lines), text=text, all=checked, compact=compact)

        def on_event(event: GenericEventArguments) -> None:
            on_change(event.args)

        self.on("change", on_event)


class AudioPlayer(Element, component="components/sound.js"):
    """An audio player with a waveform, and segments, which have start and end in seconds, text and confidence."""

    def __init__(self, src: str, segments: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__()
        self._props["src"] = src
        self._props["segments"] = list(segments)
