"""Former names of settings: accepted for one minor release, with a log line that names the new one."""

import logging
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource

_LOG = logging.getLogger(__name__)


class RenamedSettings(BaseModel):
    """Settings that accept the former names of their fields."""

    former_names: ClassVar[Mapping[str, str]] = {}
    """The former name of each renamed field."""

    @model_validator(mode="before")
    @classmethod
    def _accept_former_names(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        renamed = dict(values)
        for name, former in cls.former_names.items():
            if former not in values:
                continue
            shown, shown_former = cls._display_name(name), cls._display_name(former)
            if name in values:
                raise ValueError(f"{shown_former} and {shown} are the same setting: remove {shown_former}")
            _LOG.warning("%s is deprecated: rename it to %s.", shown_former, shown)
            renamed[name] = renamed.pop(former)
        return renamed

    @classmethod
    def _display_name(cls, name: str) -> str:
        prefix = cls.model_config.get("env_prefix")
        return f"{prefix}{name.upper()}" if prefix else name


class RenamedEnvironment(EnvSettingsSource):
    """Environment variables, under the former names of settings too."""

    def __init__(self, settings_cls: type[BaseSettings], former_names: Mapping[str, str]) -> None:
        super().__init__(settings_cls)
        self._former_names = former_names

    def __call__(self) -> dict[str, Any]:
        """Return the values by field. A former name stays as it is, and is left out if an argument overrides it."""
        values = super().__call__()
        for name, former in self._former_names.items():
            text = self.env_vars.get(f"{self.env_prefix}{former}".lower())
            if text is not None and name not in self.current_state:
                values[former] = text
        return values
