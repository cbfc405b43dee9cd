"""Table of the settings in force, without their secrets."""

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
    """A setting, its value (masked if secret) and its source."""

    variable: str
    value: str
    source: str
    description: str


def read_setting_rows(config: Settings) -> list[SettingRow]:
    """Return a row for every setting."""
    environment = {name.upper() for name in os.environ}
    files = {path.name.lower() for path in config.secrets_dir.glob("*")} if config.secrets_dir else set()
    rows = []
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        variable = f"HINDSIGHT_{name.upper()}"
        variables = {variable, f"HINDSIGHT_{config.former_names.get(name, name).upper()}"}
        source = "environment" if variables & environment else "file" if variable.lower() in files else "default"
        text = MASK if isinstance(value, SecretStr) else "" if value is None else str(value)
        text = URL_PASSWORD.sub(rf"\1{MASK}@", text)
        rows.append(SettingRow(variable, text, source, field.description or ""))
    return rows


def settings_table(rows: list[SettingRow]) -> Table:
    """Return the table of these rows."""
    table = Table(box=None, pad_edge=False)
    table.add_column("Setting", no_wrap=True)
    for title in ("Value", "From", "What it is"):
        table.add_column(title, overflow="fold")
    for row in rows:
        style = "bold" if row.source == "environment" else ""
        table.add_row(row.variable, Text(row.value), row.source, Text(row.description), style=style)
    return table
