"""Route changes that the models page offers, with their effects."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from app.errors import SetupError
from app.pages.confirmation import FieldValues
from app.registry.changes import RegistryWriter
from app.registry.registry import TaskModels
from app.services.services import Services

ChangeKind = Literal["promote", "canary", "shadow", "rollback", "freeze", "unfreeze"]
CANARY_SHARES: Mapping[str, str] = {str(share): f"{share:.0%} of the keys" for share in (0.05, 0.1, 0.25, 0.5)}


@dataclass(frozen=True)
class ChangeOption:
    """A change that is possible now."""

    kind: ChangeKind
    version: str
    """Empty for `freeze` and `unfreeze`."""
    title: str
    """The text of the button."""
    text: str
    """The effect of the change."""

    @property
    def choices(self) -> Mapping[str, Mapping[str, str]]:
        """The select fields of the confirmation dialog."""
        return {"Share": CANARY_SHARES} if self.kind == "canary" else {}


def options_for_version(models: TaskModels, version: str) -> list[ChangeOption]:
    """Return the changes of a version that the current route allows."""
    route, task = models.route, models.task
    role = route.role(version)
    if role == "champion":
        if models.previous_champion is None:
            return []
        text = f"Version {models.previous_champion} answers all requests of {task} again, and version {version} none."
        return [ChangeOption("rollback", version, f"Roll back to {models.previous_champion}", text)]
    rollback = f"Version {version} loses its role. Version {route.champion} answers all requests of {task}."
    promote = (
        f"Version {version} answers all requests of {task}, and version {route.champion} none. "
        f"A rollback restores version {route.champion}."
    )
    canary = (
        f"Version {version} answers a share of the requests of {task}, always those of the same keys. "
        f"It is rolled back automatically if it performs worse than version {route.champion}."
    )
    shadow = f"Version {version} predicts beside version {route.champion}, but its predictions are not answers."
    options = [
        ChangeOption("promote", version, "Promote", promote),
        ChangeOption("canary", version, "Canary", canary),
        ChangeOption("shadow", version, "Shadow", shadow),
    ]
    if role == "canary":
        return [options[0], ChangeOption("rollback", version, "Roll back", rollback)]
    if role == "shadow":
        return [*options[:2], ChangeOption("rollback", version, "Remove", rollback)]
    return options


def freeze_option(models: TaskModels) -> ChangeOption:
    """Return the change that pauses or resumes retraining."""
    if models.frozen is None:
        text = f"{models.task} is not retrained and no version is promoted until you unfreeze it. Serving continues."
        return ChangeOption("freeze", "", "Freeze", text)
    return ChangeOption("unfreeze", "", "Unfreeze", f"{models.task} is retrained again when a trigger fires.")


async def apply_change(services: Services, task: str, change: ChangeOption, values: FieldValues, actor: str) -> str:
    """Apply a change and return its effect.

    Raises `SetupError` if the change is not possible, or the actor or the reason is missing, and TRANSIENT_ERRORS.
    """
    if not actor:
        raise SetupError("Your name is missing.", "Enter it at the top of the page.")
    if not (reason := values.get("reason", "")):
        raise SetupError("The reason is missing.", "Enter one: it is kept in the log.")
    writer = RegistryWriter(services.settings, services.tasks[task], services.producer.publish)
    match change.kind:
        case "freeze" | "unfreeze":
            await writer.freeze(change.kind == "freeze", reason, actor)
        case action:
            await writer.change_route(action, change.version, float(values.get("Share", 0)), reason, actor)
    return f"Done. {change.text}"
