"""`make screenshots`: every page in light, dark and narrow view, of a new platform with some traffic and feedback."""

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from playwright.async_api import Browser, Page
from rich.console import Console
from rich.progress import Progress

from app.client import Hindsight, PredictionError
from app.demo.faulty_version import deploy_faulty_version
from app.embedded.api_readiness import api_url
from app.settings import Settings, TaskSettings
from app.tasks import load_tasks
from tests.conftest import PROCESSES
from tests.support import tools
from tests.support.browser import open_browser
from tests.support.platform import platform_settings, run_processes

SAMPLES = 40
VIEWS: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1280, "height": 800}},
    "dark": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"},
    "narrow": {"viewport": {"width": 375, "height": 740}},
}


async def populate(settings: Settings) -> None:
    """Send requests of every task, some of them invalid, with a canary and feedback on each third, and a replay."""
    await deploy_faulty_version(settings, load_tasks(settings)["ocr"], 0, 0.25)
    rng = np.random.default_rng(0)
    async with Hindsight(settings.bootstrap, api_url=api_url(settings), source="shop") as client:
        for name, task in load_tasks(settings).items():
            for number, sample in zip(range(SAMPLES), task.demonstration(7), strict=False):
                prediction = await client.predict(name, sample.payload, content_type=sample.content_type)
                reward = task.reward(sample, prediction.output, rng)
                if number % 3 == 0 and reward is not None:
                    await client.feedback(prediction.prediction_id, reward=reward, actor="shop")
                elif number % 3 == 0:
                    await client.feedback(prediction.prediction_id, correction=sample.correction, actor="ada")
                    if number % 9 == 0:
                        await client.feedback(prediction.prediction_id, accepted=False, actor="grace")
        for payload in (b"not an image", b"\x89PNG\r\n\x1a\nbroken"):
            try:
                await client.predict("ocr", payload)
            except PredictionError:
                continue
    async with httpx.AsyncClient(base_url=api_url(settings), trust_env=False) as http:
        (await http.post("/v1/replays", json={"task": "ocr"})).raise_for_status()


async def take_screenshots(browser: Browser, settings: Settings, out: Path) -> None:
    """Write a screenshot of each page in each view."""
    paths = {
        "overview": "/",
        **{f"review-{task}": f"/review?task={task}&queue=uncertain" for task in settings.tasks},
        "review-judged": "/review?task=ocr&queue=judged",
        "models": "/models?task=ocr&version=2",
        "comparison": "/models/comparison?task=ocr",
        "replay": "/replay",
        "dead-letters": "/dead-letters",
    }
    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("screenshots", total=len(paths) * len(VIEWS))
        for view, options in VIEWS.items():
            context = await browser.new_context(base_url=api_url(settings), **options)
            page = await context.new_page()
            for name, path in paths.items():
                await page.goto(path)
                await _wait_until_settled(page)
                await page.screenshot(path=out / f"{name}-{view}.png", full_page=True)
                progress.advance(bar)
            await context.close()


async def _wait_until_settled(page: Page) -> None:
    await page.wait_for_load_state("networkidle")
    await page.wait_for_timeout(1500)  # for images, waveforms and the first live data


async def main(out: Path) -> None:
    """Run a platform and take all screenshots."""
    with tempfile.TemporaryDirectory() as home:
        rules = {name: TaskSettings(audit_rate=0.3) for name in Settings().tasks}
        settings = platform_settings(Path(home), task_settings=rules)
        async with run_processes(settings, only=PROCESSES) as supervisor, open_browser() as browser:
            await supervisor.wait_ready(180)
            await populate(settings)
            await asyncio.sleep(15)  # until the overview has polled every task
            await take_screenshots(browser, settings, out)


if __name__ == "__main__":
    if tools.find_program("chromium") is None:
        sys.exit("error: chromium is not on PATH. Remedy: apt install chromium, or set CHROMIUM=/path/to/chromium")
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(directory))
