"""Health: `/livez` of this process, `/readyz` of all processes and tasks, and `/metrics` for Prometheus."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from app.auth.scopes import require_scope
from app.monitoring.metrics import READY
from app.services.readiness import HealthChecker, Readiness
from app.services.state_metrics import StateMetrics
from app.settings import Settings


def router(settings: Settings, state_metrics: StateMetrics) -> APIRouter:
    """Return the routes. `/metrics` combines `state_metrics` with the metrics of this process."""
    routes = APIRouter(tags=["health"])
    health = HealthChecker(settings, state_metrics)

    @routes.get("/livez", dependencies=[require_scope(None)])
    @routes.get("/healthz", dependencies=[require_scope(None)])
    async def livez() -> dict[str, str]:
        """Return 200 while this process runs, whatever the others do."""
        return {"status": "alive"}

    @routes.get(
        "/readyz",
        dependencies=[require_scope(None)],
        responses={503: {"model": Readiness, "description": "A process is not ready, or a task is not answered."}},
    )
    async def readyz(response: Response) -> Readiness:
        """Return whether all processes make progress, MLServer has all routed versions, and all tasks are answered."""
        readiness = await health.readiness()
        READY.set(readiness.ready)
        response.status_code = 200 if readiness.ready else 503
        return readiness

    @routes.get("/metrics", dependencies=[require_scope("read")], response_class=Response)
    async def metrics() -> Response:
        """Return the Prometheus metrics of this process and of the platform's state."""
        return Response(
            generate_latest(REGISTRY) + generate_latest(state_metrics.registry), media_type=CONTENT_TYPE_LATEST
        )

    return routes
