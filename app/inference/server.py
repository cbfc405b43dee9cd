"""The `mlserver` process: MLServer with every version of every task's model."""

import asyncio
import os

from mlserver import MLServer
from mlserver import Settings as ServerSettings
from mlserver.repository import ModelRepositoryFactory

from app.inference import repository, runtime
from app.settings import Settings, settings
from app.tasks import load

__all__ = ["runtime"]


def server_settings(configured: Settings) -> ServerSettings:
    """How MLServer runs here: one process, gRPC for the agents, HTTP for health."""
    largest = 4 * configured.max_payload_bytes * configured.batch_size
    return ServerSettings(
        debug=False,
        host=configured.mlserver_host,
        http_port=configured.mlserver_http_port,
        grpc_port=configured.mlserver_grpc_port,
        metrics_port=configured.mlserver_metrics_port,
        grpc_max_message_length=min(largest, 2**31 - 1),
        # No worker processes: the runtime's threads use the cores, and MLServer 1.7 with newer uvloops loads no model.
        parallel_workers=0,
        model_repository_root=str(configured.model_repository),
        metrics_dir=str(configured.home / "mlserver-metrics"),
        load_models_at_startup=True,
    )


async def serve(configured: Settings) -> None:
    """Serve until told to stop."""
    for task in load(configured).values():
        repository.install(configured, task)
    described = server_settings(configured)
    models = await ModelRepositoryFactory.resolve_model_repository(described).list()
    await MLServer(described).start(models)


def main() -> None:
    """Run the process."""
    configured = settings()
    configured.home.mkdir(parents=True, exist_ok=True)
    os.chdir(configured.home)
    asyncio.run(serve(configured))


if __name__ == "__main__":
    main()
