"""`hindsight doctor`: checks of this machine and its platform, with remedies, and the settings in force."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from app.embedded.doctor import Check
    from app.embedded.settings_table import SettingRow
    from app.settings import Settings

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


def register(cli: typer.Typer) -> None:
    """Add the command."""

    @cli.command(epilog="Example: hindsight doctor --json")
    def doctor(as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False) -> None:
        """Check this machine and its platform, and show the settings in force. Ends with 1 if a check fails."""
        from app.settings import settings

        raise typer.Exit(print_report(settings(), as_json))


def print_report(config: "Settings", as_json: bool) -> int:
    """Print the checks and the settings. Return the exit code: 1 if a check failed."""
    from app.embedded.doctor import run_checks
    from app.embedded.settings_table import read_setting_rows

    checks, rows = run_checks(config), read_setting_rows(config)
    if as_json:
        print(json.dumps({"checks": [asdict(check) for check in checks], "settings": [asdict(row) for row in rows]}))
    else:
        _print_tables(checks, rows)
    return int(any(check.status == "fail" for check in checks))


def _print_tables(checks: list["Check"], rows: list["SettingRow"]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from app.embedded.settings_table import settings_table

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 160
    table = Table("", "Check", "Found", box=None, pad_edge=False)
    for check in checks:
        detail = check.detail if check.status == "ok" else f"{check.detail}\nRemedy: {check.remedy}"
        table.add_row(Text(check.status, COLOURS[check.status]), check.name, Text(detail))
    console.print(table)
    console.print()
    console.print(settings_table(rows))
    console.print()
    failed = [check for check in checks if check.status == "fail"]
    for check in failed:
        console.print(Text(f"{check.name}: {check.detail}\n  Remedy: {check.remedy}", COLOURS["fail"]))
    if not failed:
        console.print(Text("Nothing has failed.", COLOURS["ok"]))
