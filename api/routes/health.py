"""Whether the process lives, whether it may be sent calls, and what it measures."""

from collections.abc import Callable

from fastapi import APIRouter, Response

from api.errors import ApiError
from api.metrics import CONTENT_TYPE, Metrics


def router(*, ready: Callable[[], str | None], metrics: Metrics | None) -> APIRouter:
    """`ready` gives None, or the reason why no call should come here.

    `metrics` is None where several processes share the port.
    """
    routes = APIRouter(tags=["operations"])

    @routes.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process serves."""
        return {"status": "ok"}

    @routes.get("/readyz")
    async def readyz(response: Response) -> dict[str, str]:
        """Everything that a call needs is open, and the process is not stopping."""
        reason = ready()
        if reason is not None:
            response.status_code = 503
            return {"status": "not_ready", "reason": reason}
        return {"status": "ready"}

    @routes.get("/metrics", response_class=Response)
    def prometheus() -> Response:
        """Prometheus exposition text."""
        if metrics is None:
            raise ApiError(
                404,
                "not_found",
                "Several processes share this port; KEYTOLL_METRICS_LISTEN gives each its own.",
            )
        return Response(metrics.render(), media_type=CONTENT_TYPE)

    return routes
