"""Elements with a behaviour of their own in the browser: each a Vue component in `components/`."""

from collections.abc import Callable, Sequence
from typing import Any

from nicegui.element import Element
from nicegui.events import GenericEventArguments


class KeyListener(Element, component="components/keys.js"):
    """Tells which of these keys was pressed, outside of fields; Enter in the field with `data-answer` too."""

    def __init__(self, keys: Sequence[str], on_key: Callable[[str], Any]) -> None:
        super().__init__()
        self._props["keys"] = list(keys)
        self.on("key", lambda event: on_key(str(event.args)))


class BoxEditor(Element, component="components/boxes.js"):
    """A picture with boxes that can be changed; `on_change` is told all of them, in pixels of the picture."""

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

        def changed(event: GenericEventArguments) -> None:
            on_change(event.args)

        self.on("change", changed)


class AudioPlayer(Element, component="components/sound.js"):
    """A player with its waveform."""

    def __init__(self, src: str) -> None:
        super().__init__()
        self._props["src"] = src
