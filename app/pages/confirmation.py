"""A dialog that confirms actions with an effect on others."""

from collections.abc import Awaitable, Callable, Mapping

from nicegui import ui
from nicegui.events import GenericEventArguments

from app.errors import SetupError
from app.kafka.transient_errors import TRANSIENT_ERRORS
from app.pages.elements import Node, Prose, button

FieldValues = Mapping[str, str]
"""The dialog's values by their fields' names."""
_DIALOG_ID = "confirm"


class ConfirmationDialog:
    """The confirmation dialog of a page. It runs a confirmed action once, and shows an error with its remedy.

    Enter confirms: in the reason, or else on the button, which has the focus because it is the first element.
    """

    def __init__(self) -> None:
        self._values: dict[str, str] = {}
        self._action: Callable[[FieldValues], Awaitable[str]] | None = None
        self._status = Node("p", style="status small", role="status")
        with Node("dialog", style="panel", id=_DIALOG_ID, aria_label="Confirm"):
            self._title = Node("h2")
            self._text = Node("p")
            self._fields = Node("div", style="stack")
            self._error = Prose("p", style="note bad", role="alert").set_shown(False)
            with Node("div", style="bar"):
                self._confirm_button = button("Confirm", self._on_confirm, "main")
                button("Cancel", self._close, "push")

    def ask(
        self,
        title: str,
        text: str,
        action: Callable[[FieldValues], Awaitable[str]],
        choices: Mapping[str, Mapping[str, str]] | None = None,
        needs_reason: bool = True,
    ) -> None:
        """Open the dialog. If it is confirmed, run the action, which returns a summary for the page.

        `choices` has the values of each select field, with their texts. With `needs_reason` a reason is required.
        """
        self._action, self._values = action, {}
        self._title.set_text(title)
        self._text.set_text(text)
        self._confirm_button.set_text(title)
        self._error.set_shown(False)
        self._fields.clear()
        with self._fields:
            for name, values in (choices or {}).items():
                self._add_choice(name, values)
            if needs_reason:
                self._add_reason()
        ui.run_javascript(f"document.getElementById('{_DIALOG_ID}').showModal()")

    def show_result(self, text: str) -> None:
        """Show the result of the action on the page."""
        self._status.set_text(text)

    def _add_choice(self, name: str, values: Mapping[str, str]) -> None:
        self._values[name] = next(iter(values))
        with Node("label", style="field"):
            Node("span", name, "muted small")
            with Node("select", data_field=name) as field:
                for value, text in values.items():
                    Node("option", text, value=value)
        self._bind_field(field, name)

    def _add_reason(self) -> None:
        with Node("label", style="field"):
            Node("span", "Reason (kept in the log)", "muted small")
            field = Node("input", maxlength=2000, data_field="reason", required=True)
        self._bind_field(field, "reason")
        field.on("keydown.enter", self._on_confirm, js_handler="(event) => event.isComposing || emit()")

    def _bind_field(self, field: Node, name: str) -> None:
        def on_input(event: GenericEventArguments) -> None:
            self._values[name] = str(event.args).strip()

        field.on("input", on_input, js_handler="(event) => emit(event.target.value)")

    async def _on_confirm(self) -> None:
        if self._action is None:
            return
        action, self._action = self._action, None
        self._confirm_button.set_attribute("disabled", True)
        try:
            result = await action(self._values)
        except SetupError as error:
            self._show_error(error.one_line, action)
        except TRANSIENT_ERRORS as error:
            self._show_error(f"It is not known if this was done: {error}. Check the page, then try again.", action)
        else:
            self._close()
            self.show_result(result)
        finally:
            self._confirm_button.set_attribute("disabled", False)

    def _show_error(self, text: str, action: Callable[[FieldValues], Awaitable[str]]) -> None:
        self._action = action
        self._error.set_text(text).set_shown(True)

    def _close(self) -> None:
        ui.run_javascript(f"document.getElementById('{_DIALOG_ID}').close()")
