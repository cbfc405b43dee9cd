"""Health: `/livez` says this process lives, `/readyz` that every part and every task makes progress, `/metrics` how."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from app.auth.scopes import require_scope
from app.monitoring.metrics import READY
from app.services.readiness import HealthChecker, Readiness
from app.services.state_metrics import StateMetrics
from app.settings import Settings


def router(settings: Settings, state_metrics: StateMetrics) -> APIRouter:
    """The routes of this deployment; `watching` has the metrics of its state, beside those of this process."""
    routes = APIRouter(tags=["health"])
    health = HealthChecker(settings, state_metrics)

    @routes.get("/livez", dependencies=[require_scope(None)])
    @routes.get("/healthz", dependencies=[require_scope(None)])
    async def livez() -> dict[str, str]:
        """This process answers, whatever the others do."""
        return {"status": "alive"}

    @routes.get(
        "/readyz",
        dependencies=[require_scope(None)],
        responses={503: {"model": Readiness, "description": "A part is not ready, or a task is not answered."}},
    )
    async def readyz(response: Response) -> Readiness:
        """Every part is reachable and moves, every version that a route needs is served, every task is answered."""
        found = await health.readiness()
        READY.set(found.ready)
        response.status_code = 200 if found.ready else 503
        return found

    @routes.get("/metrics", dependencies=[require_scope("read")], response_class=Response)
    async def metrics() -> Response:
        """Prometheus metrics of this process."""
        return Response(
            generate_latest(REGISTRY) + generate_latest(state_metrics.registry), media_type=CONTENT_TYPE_LATEST
        )

    return routes
