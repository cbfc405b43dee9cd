"""Elements with client-side behaviour, each a Vue component in `components/`."""

from collections.abc import Callable, Sequence
from typing import Any

from nicegui.element import Element
from nicegui.events import GenericEventArguments


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
        src: str,
        boxes: Sequence[dict[str, Any]],
        labels: Sequence[str],
        on_change: Callable[[list[dict[str, Any]]], None],
    ) -> None:
        super().__init__()
        self._props["src"] = src
        self._props["boxes"] = list(boxes)
        self._props["labels"] = list(labels)

        def on_event(event: GenericEventArguments) -> None:
            on_change(event.args)

        self.on("change", on_event)


class AudioPlayer(Element, component="components/sound.js"):
    """An audio player with a waveform."""

    def __init__(self, src: str) -> None:
        super().__init__()
        self._props["src"] = src
