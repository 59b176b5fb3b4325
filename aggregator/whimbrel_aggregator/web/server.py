"""The HTTP server: routes, error answers, and its life from bind to the last open stream."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from whimbrel_aggregator.config import ApiConfig
from whimbrel_aggregator.journal.port import JournalError
from whimbrel_aggregator.ports import Runner
from whimbrel_aggregator.secretfile import read_secret
from whimbrel_aggregator.services import Services
from whimbrel_aggregator.web import auth, openapi
from whimbrel_aggregator.web.answers import RefusedError, answer
from whimbrel_aggregator.web.events import HEARTBEAT_S, EventRoutes
from whimbrel_aggregator.web.flow import FlowRoutes
from whimbrel_aggregator.web.resources import ResourceRoutes
from whimbrel_aggregator.web.skipped import SkippedRoutes
from whimbrel_protocol.errors import FieldError

MAX_BODY_BYTES: Final = 64 * 1024
"""The longest body asked for is a device: under 1 KiB."""

SHUTDOWN_S: Final = 2.0
"""How long answers under way may take at the end; streams are cut at once."""

_log = logging.getLogger("whimbrel.web")


def make_app(
    services: Services,
    runner: Runner,
    *,
    token: str | None = None,
    heartbeat_s: float = HEARTBEAT_S,
) -> web.Application:
    """Return the application; ``token`` None means that only loopback names are served."""
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[_errors, auth.guard(token)])
    events = EventRoutes(services, runner, heartbeat_s=heartbeat_s)
    rest = ResourceRoutes(services)
    flow = FlowRoutes(services)
    skipped = SkippedRoutes(services)
    document = openapi.document(version=services.version, region=services.region)

    async def describe(_: web.Request) -> web.Response:
        return answer(document)

    app.add_routes(
        [
            web.get("/healthz", rest.healthz),
            web.get("/readyz", rest.readyz),
            web.get("/metrics", rest.metrics),
            web.get("/openapi.json", describe),
            web.get("/v1/status", rest.status),
            web.get("/v1/events", events.get),
            web.get("/v1/devices", rest.list_devices),
            web.post("/v1/devices", rest.add_device),
            web.get("/v1/strangers", rest.list_strangers),
            web.delete("/v1/devices/{tenant}/{store}/{device}", rest.remove_device),
            web.get("/v1/forwarders", rest.list_forwarders),
            web.delete("/v1/forwarders/{name}", rest.detach),
            web.post("/v1/forwarders/{name}/rebind", rest.rebind),
            web.get("/v1/skipped", skipped.list),
            web.delete("/v1/skipped/{id}", skipped.drop),
            web.get("/v1/usage", flow.usage),
            web.get("/v1/flow", flow.flow),
            web.get("/v1/parked", rest.list_parked),
            web.delete("/v1/parked/{id}", rest.unpark),
        ]
    )
    return app


async def run_server(
    config: ApiConfig,
    services: Services,
    runner: Runner,
    *,
    on_ready: Callable[[str, int], None] | None = None,
) -> None:
    """Serve until cancelled.

    Args:
        config: where to listen, and the token's file.
        services: what is served.
        runner: for work that would hold up the loop.
        on_ready: called with host and port once connections are accepted.

    Raises:
        SecretFileError: the token's file cannot be used.
        OSError: the address cannot be bound.
    """
    token = None if config.token_file is None else read_secret(config.token_file)
    if token is None and not config.loopback:
        raise AssertionError(f"api on {config.host} without a token passed the configuration")
    # a malformed request must not be able to fill the log; our own failures are logged above
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    app_runner = web.AppRunner(
        make_app(services, runner, token=token),
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=SHUTDOWN_S,
    )
    await app_runner.setup()
    try:
        site = web.TCPSite(app_runner, config.host, config.port)
        await site.start()
        host, port = app_runner.addresses[0][:2]
        _log.info("api listens on %s port %d", host, port)
        if on_ready is not None:
            on_ready(host, port)
        await asyncio.Event().wait()
    finally:
        await app_runner.cleanup()


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every failure into a JSON answer that names field, value and rule."""
    try:
        return await handler(request)
    except RefusedError as refusal:
        return refusal.response()
    except FieldError as error:
        return RefusedError.of(error).response()
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        rule = f"must be one of {allowed}"
        return RefusedError(
            405, "method", request.method, rule, headers={"Allow": allowed}
        ).response()
    except web.HTTPNotFound:
        return RefusedError(404, "path", request.path, "must be one of /openapi.json").response()
    except web.HTTPException as error:
        return RefusedError(error.status, "request", request.path, error.reason).response()
    except JournalError as error:
        _log.warning("%s %s: %s", request.method, request.path, error)
        return RefusedError(503, "journal", "failed", str(error)).response()
    except Exception:  # noqa: BLE001 - a defect behind one path must not look like a dead server
        _log.exception("%s %s failed", request.method, request.path)
        return RefusedError(500, "request", request.path, "failed here; see the log").response()
