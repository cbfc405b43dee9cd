"""Measure what the overview page costs the API under load: `python -m benchmarks.studies.overview`."""

import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from playwright.async_api import Page

from app.embedded.api_readiness import api_url
from benchmarks import load_generator, resource_usage
from benchmarks.child_process import run_in_process
from benchmarks.platform import Stack, benchmark_settings, run_platform
from models.small.ocr.data.lines import make_payloads
from tests.support.browser import open_browser

TASK = "ocr"
PAYLOADS = 500
_RATE_SCRIPT = "document.querySelector('[data-task=ocr] [data-figure=rate]').textContent"


@dataclass(frozen=True)
class OverviewCost:
    """Cores that the API used without and with a viewer, the last rate on the page, and how often it changed."""

    idle_cores: float
    viewed_cores: float
    rate_text: str
    changes: int


async def measure_overview(rate: float, seconds: float) -> OverviewCost:
    """Measure one platform under the same load twice."""
    payloads = [sample.payload for sample in await run_in_process(make_payloads, PAYLOADS, 0)]
    with tempfile.TemporaryDirectory() as home:
        async with run_platform(benchmark_settings(Path(home))) as stack, open_browser() as browser:
            idle_cores = await _measure_load(stack, payloads, rate, seconds)
            page = await browser.new_page()
            await page.goto(api_url(stack.settings))
            reading = asyncio.create_task(_read_rates(page, seconds))
            viewed_cores = await _measure_load(stack, payloads, rate, seconds)
            rates = await reading
    return OverviewCost(idle_cores, viewed_cores, rates[-1], len(set(rates)))


async def _measure_load(stack: Stack, payloads: list[bytes], rate: float, seconds: float) -> float:
    """Return the cores that the API uses during a load."""
    before = stack.cpu()
    plan = load_generator.LoadPlan(stack.settings.bootstrap, TASK, (load_generator.Phase(rate, seconds),), 0, 30)
    await run_in_process(load_generator.run_load, plan, payloads)
    return resource_usage.core_usage(before, stack.cpu()).by_process["api"]


async def _read_rates(page: Page, seconds: float) -> list[str]:
    """Read the rate from the page twice per second."""
    rates, deadline = list[str](), time.monotonic() + seconds
    while time.monotonic() < deadline:
        rates.append(str(await page.evaluate(_RATE_SCRIPT)))
        await asyncio.sleep(0.5)
    return rates


def main(
    rate: Annotated[float, typer.Option(help="Requests per second.")] = 500,
    seconds: Annotated[float, typer.Option(help="Length of each load.")] = 40,
) -> None:
    """Measure, and print."""
    cost = asyncio.run(measure_overview(rate, seconds))
    print(
        f"At {rate:g} requests/s the API uses {cost.idle_cores:.3f} cores, "
        f"and {cost.viewed_cores:.3f} with an open overview:"
    )
    print(f"{cost.viewed_cores - cost.idle_cores:+.1%} of a core.")
    print(f"The page showed {cost.rate_text} last, and {cost.changes} different rates in {seconds:g} s.")


if __name__ == "__main__":
    typer.run(main)
