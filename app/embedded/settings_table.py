"""The settings in force, as a person may see them."""

import os
import re
from dataclasses import dataclass

from pydantic import SecretStr
from rich.table import Table
from rich.text import Text

from app.settings import Settings

MASK = "********"
URL_PASSWORD = re.compile(r"(://[^/@:]*:)[^/@]+@")  # in a URL: user:password@host


@dataclass(frozen=True)
class SettingRow:
    """A setting, its value (a secret's is masked) and where it comes from."""

    variable: str
    value: str
    source: str
    description: str


def read_setting_rows(config: Settings) -> list[SettingRow]:
    """Every setting."""
    from_environment = {name.upper() for name in os.environ}
    found = []
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        variable = f"HINDSIGHT_{name.upper()}"
        variables = {variable, f"HINDSIGHT_{config.former_names.get(name, name).upper()}"}
        source = "environment" if variables & from_environment else "default"
        text = MASK if isinstance(value, SecretStr) else "" if value is None else str(value)
        text = URL_PASSWORD.sub(rf"\1{MASK}@", text)
        found.append(SettingRow(variable, text, source, field.description or ""))
    return found


def settings_table(rows: list[SettingRow]) -> Table:
    """A row for each."""
    table = Table(box=None, pad_edge=False)
    table.add_column("Setting", no_wrap=True)
    for title in ("Value", "From", "What it is"):
        table.add_column(title, overflow="fold")
    for setting in rows:
        style = "bold" if setting.source == "environment" else ""
        table.add_row(setting.variable, Text(setting.value), setting.source, Text(setting.description), style=style)
    return table
