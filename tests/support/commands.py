"""Run commands while the test's event loop continues to supervise the platform."""

import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner

from app import settings as app_settings
from app.cli import cli
from app.settings import CHECKOUT, Settings
from app.system.environment import process_environment, setting_variables


@dataclass(frozen=True)
class CommandResult:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str


async def run_command(
    settings: Settings,
    *words: str,
    cwd: Path = CHECKOUT,
    seconds: float = 120,
    variables: Mapping[str, str] | None = None,
) -> CommandResult:
    """Run a command with these settings and variables in its environment."""
    environment = process_environment(settings) | {"PYTHONPATH": str(CHECKOUT), "HOME": os.environ["HOME"]}
    process = await asyncio.create_subprocess_exec(
        *words,
        cwd=cwd,
        env={**environment, **(variables or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), seconds)
    except TimeoutError:
        process.kill()
        raise
    return CommandResult(process.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace"))


async def run_hindsight(settings: Settings, *arguments: str | Path, **variables: str) -> CommandResult:
    """Run `hindsight` in a process of its own, as users run it."""
    return await run_command(settings, sys.executable, "-m", "app.cli", *map(str, arguments), variables=variables)


async def invoke_hindsight(settings: Settings, *arguments: str | Path, **variables: str) -> CommandResult:
    """Run `hindsight` in a thread of this process: quicker, but without what `app.cli.main` does with errors."""
    environment = setting_variables(settings) | variables
    app_settings.settings.cache_clear()
    try:
        result = await asyncio.to_thread(CliRunner().invoke, cli, [*map(str, arguments)], env=environment)
    finally:
        app_settings.settings.cache_clear()
    return CommandResult(result.exit_code, result.stdout, result.stderr)
