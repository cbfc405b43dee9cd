"""The `mlserver` process: MLServer with the versions that the routes need."""

import asyncio
import os
import sys
from collections.abc import Mapping

import uvloop
from mlserver import Settings as ServerSettings

from app.errors import SetupError
from app.inference.mlserver import repository, runtime, token
from app.inference.mlserver.auth import AuthenticatedMLServer
from app.inference.mlserver.client import InferenceClient
from app.inference.mlserver.loader import ModelLoader
from app.kafka import provisioning
from app.monitoring.heartbeat import Heartbeat
from app.settings import Settings, settings
from app.tasks import load_tasks
from models.base import Task

__all__ = ["runtime"]


def server_settings(configured: Settings) -> ServerSettings:
    """Return MLServer's settings: one process, gRPC for the agents, HTTP for health."""
    max_batch_bytes = 4 * configured.max_payload_bytes * configured.batch_size
    return ServerSettings(
        debug=False,
        host=configured.mlserver_host,
        http_port=configured.mlserver_http_port,
        grpc_port=configured.mlserver_grpc_port,
        metrics_port=configured.mlserver_metrics_port,
        grpc_max_message_length=min(max_batch_bytes, 2**31 - 1),
        # No worker processes: the runtime's threads use the cores, and with workers MLServer 1.7 can't load models
        # under newer versions of uvloop.
        parallel_workers=0,
        model_repository_root=str(configured.model_repository),
        metrics_dir=str(configured.home / "mlserver-metrics"),
        load_models_at_startup=False,
    )


async def serve(configured: Settings) -> None:
    """Serve until SIGTERM."""
    tasks = load_tasks(configured)
    Heartbeat(configured.home).schedule_on(asyncio.get_running_loop())
    repository.clear(configured)
    server = AuthenticatedMLServer(server_settings(configured), token.load_or_create(configured))
    serving = asyncio.create_task(server.start())
    loading = asyncio.create_task(_load(configured, tasks))
    await asyncio.wait((serving, loading), return_when=asyncio.FIRST_COMPLETED)
    loading.cancel()
    await serving if serving.done() else await loading


async def _load(configured: Settings, tasks: Mapping[str, Task]) -> None:
    await provisioning.wait_provisioned(configured)
    async with InferenceClient(configured) as client:
        await ModelLoader(configured, tasks.values(), client).run()


def main() -> None:
    """Run the process."""
    configured = settings()
    configured.home.mkdir(parents=True, exist_ok=True)
    os.chdir(configured.home)
    try:
        uvloop.run(serve(configured))
    except SetupError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
