"""Asking before something is done that others will notice."""

from collections.abc import Awaitable, Callable, Mapping

from nicegui import ui
from nicegui.events import GenericEventArguments

from app.errors import SetupError
from app.kafka.transient_errors import AWAY
from app.pages.elements import Node, button

Answers = Mapping[str, str]
"""What was given in each field."""
_ID = "confirm"


class Confirm:
    """One dialog of a page. What is asked for is done once, and its failure is said there, with what to do."""

    def __init__(self) -> None:
        self._answers: dict[str, str] = {}
        self._do: Callable[[Answers], Awaitable[str]] | None = None
        self._status = Node("p", style="status small", role="status")
        with Node("dialog", style="panel", id=_ID, aria_label="Confirm"):
            self._title = Node("h2")
            self._text = Node("p")
            self._fields = Node("div", style="stack")
            self._trouble = Node("p", style="note bad", role="alert").show(False)
            with Node("div", style="bar"):
                button("Cancel", self._close, "push")
                self._yes = button("Confirm", self._confirmed, "main")

    def ask(
        self,
        title: str,
        text: str,
        do: Callable[[Answers], Awaitable[str]],
        choices: Mapping[str, Mapping[str, str]] | None = None,
        reason: bool = True,
    ) -> None:
        """Show what would be done; `do` does it if it is confirmed, and returns what to tell.

        `choices` are, by field, what may be chosen: the words of each value. With `reason` one has to be given.
        """
        self._do, self._answers = do, {}
        self._title.say(title)
        self._text.say(text)
        self._yes.say(title)
        self._trouble.show(False)
        self._fields.clear()
        with self._fields:
            for name, values in (choices or {}).items():
                self._choice(name, values)
            if reason:
                self._reason()
        ui.run_javascript(f"document.getElementById('{_ID}').showModal()")

    def tell(self, text: str) -> None:
        """What came of it, on the page."""
        self._status.say(text)

    def _choice(self, name: str, values: Mapping[str, str]) -> None:
        self._answers[name] = next(iter(values))
        with Node("label", style="field"):
            Node("span", name, "muted small")
            with Node("select", data_field=name) as field:
                for value, words in values.items():
                    Node("option", words, value=value)
        self._listen(field, name)

    def _reason(self) -> None:
        with Node("label", style="field"):
            Node("span", "Why; it stays in the log", "muted small")
            self._listen(Node("input", maxlength=2000, data_field="reason", required=True), "reason")

    def _listen(self, field: Node, name: str) -> None:
        def changed(event: GenericEventArguments) -> None:
            self._answers[name] = str(event.args).strip()

        field.on("input", changed, js_handler="(event) => emit(event.target.value)")

    async def _confirmed(self) -> None:
        if self._do is None:
            return
        do, self._do = self._do, None
        self._yes.put("disabled", True)
        try:
            told = await do(self._answers)
        except SetupError as error:
            self._refused(error.in_a_line, do)
        except AWAY as error:
            self._refused(f"Nothing is known to have been done: {error}. Look at what there is, and try again.", do)
        else:
            self._close()
            self.tell(told)
        finally:
            self._yes.put("disabled", False)

    def _refused(self, why: str, do: Callable[[Answers], Awaitable[str]]) -> None:
        self._do = do
        self._trouble.say(why).show(True)

    def _close(self) -> None:
        ui.run_javascript(f"document.getElementById('{_ID}').close()")
