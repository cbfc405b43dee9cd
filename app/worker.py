"""The `worker` process: the Faust app with every agent."""

import asyncio
import logging

from faust import Worker

from agents import inference
from app import topics
from app.inference.client import InferenceClient
from app.inference.repository import champion
from app.monitoring import metrics
from app.settings import Settings, settings
from app.streams import App, make_app
from app.tasks import load


def build(configured: Settings) -> App:
    """The app of this deployment. It is ready once it has its partitions."""
    app = make_app(configured)
    for task in load(configured).values():
        inference.register(app, configured, task)

    @app.on_partitions_assigned.connect
    async def assigned(*_: object, **__: object) -> None:
        metrics.READY.set(1)

    return app


async def wait_for_needs(configured: Settings) -> None:
    """Return once the topics are there and MLServer serves every champion."""
    await topics.wait_provisioned(configured)
    async with InferenceClient(configured) as client:
        for task in load(configured).values():
            await client.wait(champion(task))


def main() -> None:
    """Run the process until it is told to stop."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    logging.getLogger("aiokafka").setLevel(logging.WARNING)  # or it words a debug line for every record
    configured = settings()
    metrics.serve(configured.worker_metrics_port, configured.metrics_host)
    asyncio.run(wait_for_needs(configured))
    asyncio.set_event_loop(asyncio.new_event_loop())
    Worker(build(configured), loglevel="warn", redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main()
