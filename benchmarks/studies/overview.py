"""Measure what the overview page costs the API under load: `python -m benchmarks.studies.overview`."""

import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from playwright.async_api import Page

from app.embedded.readiness import api_url
from benchmarks import load_generator, resource_usage
from benchmarks.child_process import run_in_process
from benchmarks.platform import Stack, benchmark_settings, run_platform
from models.ocr.data.lines import make_payloads
from tests.support.browser import open_browser

TASK = "ocr"
PAYLOADS = 500
_RATE_SCRIPT = "document.querySelector('[data-task=ocr] [data-figure=rate]').textContent"


@dataclass(frozen=True)
class OverviewCost:
    """Cores that the API used with nobody looking, and with somebody; and what the page said meanwhile."""

    idle_cores: float
    viewed_cores: float
    rate_text: str
    changes: int


async def measure_overview(rate: float, seconds: float) -> OverviewCost:
    """Of one platform, under the same load twice."""
    payloads = [one.payload for one in await run_in_process(make_payloads, PAYLOADS, 0)]
    with tempfile.TemporaryDirectory() as home:
        async with run_platform(benchmark_settings(Path(home))) as stack, open_browser() as browser:
            without = await _measure_load(stack, payloads, rate, seconds)
            page = await browser.new_page()
            await page.goto(api_url(stack.settings))
            watching = asyncio.create_task(_read_rates(page, seconds))
            looking = await _measure_load(stack, payloads, rate, seconds)
            said = await watching
    return OverviewCost(without, looking, said[-1], len(set(said)))


async def _measure_load(stack: Stack, payloads: list[bytes], rate: float, seconds: float) -> float:
    """Cores of the API during a load."""
    before = stack.cpu()
    await run_in_process(
        load_generator.run_load, load_generator.LoadPlan(stack.settings.bootstrap, TASK, rate, 0, seconds, 30), payloads
    )
    return resource_usage.core_usage(before, stack.cpu()).by_process["api"]


async def _read_rates(page: Page, seconds: float) -> list[str]:
    """What the page says of the rate, twice a second."""
    said, ends = list[str](), time.monotonic() + seconds
    while time.monotonic() < ends:
        said.append(str(await page.evaluate(_RATE_SCRIPT)))
        await asyncio.sleep(0.5)
    return said


def main(
    rate: Annotated[float, typer.Option(help="Requests a second.")] = 500,
    seconds: Annotated[float, typer.Option(help="Of each load.")] = 40,
) -> None:
    """Measure, and print."""
    found = asyncio.run(measure_overview(rate, seconds))
    print(
        f"At {rate:g} requests/s the API takes {found.idle_cores:.3f} cores; "
        f"with an overview open {found.viewed_cores:.3f},"
    )
    print(f"which is {found.viewed_cores - found.idle_cores:+.1%} of a core.")
    print(f"The page said {found.rate_text} last, and something new {found.changes} times in {seconds:g} s.")


if __name__ == "__main__":
    typer.run(main)
