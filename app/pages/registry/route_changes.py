"""Changing which versions serve, as the models page offers it: what each change would do, and doing it."""

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
    """Something that may be done now."""

    kind: ChangeKind
    version: str
    """Empty of a freeze."""
    title: str
    """What the button says."""
    text: str
    """What would come of it."""

    @property
    def choices(self) -> Mapping[str, Mapping[str, str]]:
        """What is to be chosen with it."""
        return {"Share": CANARY_SHARES} if self.kind == "canary" else {}


def options_for_version(models: TaskModels, version: str) -> list[ChangeOption]:
    """What may be done with a version by the route of now."""
    route, task = models.route, models.task
    role = route.role(version)
    if role == "champion":
        if models.previous_champion is None:
            return []
        text = f"Version {models.previous_champion} answers the requests of {task} again, and version {version} none."
        return [ChangeOption("rollback", version, f"Roll back to {models.previous_champion}", text)]
    back = f"Version {version} has no role any more. Version {route.champion} answers all requests of {task}."
    everything = (
        f"Version {version} answers all requests of {task}, and version {route.champion} none. "
        "A rollback brings that one back."
    )
    some = (
        f"Version {version} answers a share of the requests of {task}: those of the same keys as long as it is there. "
        f"It is taken back by itself if it does worse than version {route.champion}."
    )
    beside = f"Version {version} predicts beside version {route.champion}, and answers nobody."
    found = [
        ChangeOption("promote", version, "Promote", everything),
        ChangeOption("canary", version, "Canary", some),
        ChangeOption("shadow", version, "Shadow", beside),
    ]
    if role == "canary":
        return [found[0], ChangeOption("rollback", version, "Roll back", back)]
    if role == "shadow":
        return [*found[:2], ChangeOption("rollback", version, "Take away", back)]
    return found


def freeze_option(models: TaskModels) -> ChangeOption:
    """Pausing the loop, or letting it go on."""
    if models.frozen is None:
        text = f"{models.task} is not retrained, and nothing is promoted, until it is let go on. What serves goes on."
        return ChangeOption("freeze", "", "Freeze", text)
    return ChangeOption("unfreeze", "", "Unfreeze", f"{models.task} is retrained again when a trigger fires.")


async def apply_change(services: Services, task: str, change: ChangeOption, values: FieldValues, actor: str) -> str:
    """Do it; what to tell. Raises `SetupError` where it can't be done, or a name or reason is missing, and `AWAY`."""
    if not actor:
        raise SetupError("Nobody says who does it.", "Say who you are, at the top of the page.")
    if not (reason := values.get("reason", "")):
        raise SetupError("There is no reason.", "Say why: it stays in the log.")
    changes = RegistryWriter(services.settings, services.tasks[task], services.producer.publish)
    match change.kind:
        case "freeze" | "unfreeze":
            await changes.freeze(change.kind == "freeze", reason, actor)
        case action:
            await changes.change_route(action, change.version, float(values.get("Share", 0)), reason, actor)
    return f"Done, and in force: {change.title.lower()} {change.version}".rstrip() + "."
