"""`python -m benchmarks.overview`: what the overview costs the API while requests come, and whether it keeps up."""

import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from playwright.async_api import Page

from app.embedded.ready import api_url
from benchmarks import load, usage
from benchmarks.apart import apart
from benchmarks.stack import Stack, bench_settings, running
from models.ocr.data.lines import make_payloads
from tests.support.browser import browsing

TASK = "ocr"
PAYLOADS = 500
_SAID = "document.querySelector('[data-task=ocr] [data-figure=rate]').textContent"


@dataclass(frozen=True)
class Measured:
    """Cores that the API used with nobody looking, and with somebody; and what the page said meanwhile."""

    without: float
    looking: float
    said: str
    changes: int


async def measure(rate: float, seconds: float) -> Measured:
    """Of one platform, under the same load twice."""
    payloads = [one.payload for one in await apart(make_payloads, PAYLOADS, 0)]
    with tempfile.TemporaryDirectory() as home:
        async with running(bench_settings(Path(home))) as stack, browsing() as browser:
            without = await _loaded(stack, payloads, rate, seconds)
            page = await browser.new_page()
            await page.goto(api_url(stack.settings))
            watching = asyncio.create_task(_watch(page, seconds))
            looking = await _loaded(stack, payloads, rate, seconds)
            said = await watching
    return Measured(without, looking, said[-1], len(set(said)))


async def _loaded(stack: Stack, payloads: list[bytes], rate: float, seconds: float) -> float:
    """Cores of the API during a load."""
    before = stack.cpu()
    await apart(load.generate, load.Plan(stack.settings.bootstrap, TASK, rate, 0, seconds, 30), payloads)
    return usage.between(before, stack.cpu()).by_process["api"]


async def _watch(page: Page, seconds: float) -> list[str]:
    """What the page says of the rate, twice a second."""
    said, ends = list[str](), time.monotonic() + seconds
    while time.monotonic() < ends:
        said.append(str(await page.evaluate(_SAID)))
        await asyncio.sleep(0.5)
    return said


def main(
    rate: Annotated[float, typer.Option(help="Requests a second.")] = 500,
    seconds: Annotated[float, typer.Option(help="Of each load.")] = 40,
) -> None:
    """Measure, and print."""
    found = asyncio.run(measure(rate, seconds))
    print(f"At {rate:g} requests/s the API takes {found.without:.3f} cores; with an overview open {found.looking:.3f},")
    print(f"which is {found.looking - found.without:+.1%} of a core.")
    print(f"The page said {found.said} last, and something new {found.changes} times in {seconds:g} s.")


if __name__ == "__main__":
    typer.run(main)
