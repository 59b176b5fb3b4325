"""Everything of the API that is not events: devices, forwarders, parked events, state."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web

from whimbrel_aggregator.forward.status import ForwarderStatus
from whimbrel_aggregator.journal.port import (
    ConsumerCursor,
    DeviceKey,
    EnrolledDevice,
    ParkedRecord,
    UnknownConsumerError,
)
from whimbrel_aggregator.registry.records import device_of, device_to_json, stranger_to_json
from whimbrel_aggregator.services import Services
from whimbrel_aggregator.timetext import format_time
from whimbrel_aggregator.web import metrics, schemas
from whimbrel_aggregator.web.answers import RefusedError, answer
from whimbrel_aggregator.web.flow import flow_to_json
from whimbrel_aggregator.web.parameters import flag_of, integer_of, limit_of, object_of, query_of
from whimbrel_protocol.names import check_name

_DEVICE_PLACE: Final = re.compile(schemas.DEVICE_PLACE["pattern"][1:-1])
MAX_ID: Final = 2**53 - 1


class ResourceRoutes:
    """The handlers; each takes a checked request to the journal and back."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._journal = services.journal

    async def healthz(self, request: web.Request) -> web.Response:
        """Answer that the process lives and its loop turns."""
        query_of(request, ())
        return answer({"alive": True})

    async def readyz(self, request: web.Request) -> web.Response:
        """Answer whether events can be taken now."""
        query_of(request, ())
        reason = self._services.not_ready()
        return answer({"ready": not reason, "reason": reason}, status=503 if reason else 200)

    async def metrics(self, request: web.Request) -> web.Response:
        """Answer figures in Prometheus' text format."""
        query_of(request, ())
        body = metrics.exposition(await metrics.read_figures(self._services))
        return web.Response(body=body, headers={"Content-Type": metrics.CONTENT_TYPE})

    async def status(self, request: web.Request) -> web.Response:
        """Answer the state of the region as an operator wants it."""
        query_of(request, ())
        figures = await metrics.read_figures(self._services)
        size = figures.size
        return answer(
            {
                "region": figures.region,
                "version": figures.version,
                "ready": figures.ready,
                "reason": self._services.not_ready(),
                "generation": self._journal.generation.hex(),
                "partitions": figures.partitions,
                "frames": figures.frames,
                "devices": figures.devices,
                "unreadable_frames": figures.unreadable,
                "journal": {
                    "used_bytes": size.used_bytes,
                    "max_bytes": size.max_bytes,
                    "file_bytes": size.file_bytes,
                    "disk_free_bytes": size.disk_free_bytes,
                    "full": size.full,
                },
                "flow": flow_to_json(figures.flow),
                "ingest": dict(figures.ingest),
                "forwarders": [
                    forwarder_to_json(one, figures.cursors) for one in figures.forwarders
                ],
            }
        )

    async def list_devices(self, request: web.Request) -> web.Response:
        """Answer devices in the order of their keys."""
        given = query_of(request, ("tenant", "store", "after", "limit", "removed"))
        for name in ("tenant", "store"):
            if name in given:
                check_name(name, given[name])
        limit = limit_of(given)
        after = _device_place(given.get("after"))
        removed = flag_of(given, "removed")
        found = [
            device
            for device in await self._journal.devices()
            if (after is None or device.key > after)
            and given.get("tenant", device.key.tenant) == device.key.tenant
            and given.get("store", device.key.store) == device.key.store
            and (removed or device.removed_ns is None)
        ]
        page = found[:limit]
        more = str(page[-1].key) if len(found) > limit else None
        return answer({"devices": [device_to_json(one) for one in page], "next": more})

    async def list_strangers(self, request: web.Request) -> web.Response:
        """Answer devices that were heard and not taken, the one heard last first."""
        query_of(request, ())
        heard = reversed(self._services.strangers())
        return answer({"strangers": [stranger_to_json(one) for one in heard]})

    async def add_device(self, request: web.Request) -> web.Response:
        """Enrol a device, or give it another key when asked to replace."""
        query_of(request, ())
        fields = await object_of(request)
        now_ns = self._services.clock.wall_ns()
        device = device_of(fields, region=self._services.region, now_ns=now_ns)
        present = await self._journal.device(device.key)
        known = present is not None and present.removed_ns is None
        if known and present is not None and not fields.get("replace", False):
            if present.public_keys == device.public_keys and present.label == device.label:
                return answer(device_to_json(present))
            raise RefusedError(
                409,
                "device",
                str(device.key),
                "is enrolled with another key or label; say replace: true to change it",
            )
        await self._journal.enrol(device)
        self._services.enrolled()
        return answer(device_to_json(await self._enrolled(device)), status=200 if known else 201)

    async def remove_device(self, request: web.Request) -> web.Response:
        """Take a device's right to speak; what it delivered stays."""
        query_of(request, ())
        key = DeviceKey(
            *(check_name(name, request.match_info[name]) for name in ("tenant", "store", "device"))
        )
        if not await self._journal.remove(key, self._services.clock.wall_ns()):
            raise RefusedError(404, "device", str(key), "must be an enrolled device")
        self._services.enrolled()
        device = await self._journal.device(key)
        if device is None:
            raise RefusedError(404, "device", str(key), "must be an enrolled device")
        return answer(device_to_json(device))

    async def list_forwarders(self, request: web.Request) -> web.Response:
        """Answer every consumer with its state and how far behind it is."""
        query_of(request, ())
        cursors = await self._journal.cursors()
        running = self._services.forwarders()
        absent = set(await self._journal.consumers()) - {one.name for one in running}
        listed = [forwarder_to_json(one, cursors) for one in running]
        listed += [consumer_to_json(name, cursors) for name in sorted(absent)]
        return answer({"forwarders": listed})

    async def detach(self, request: web.Request) -> web.Response:
        """Forget a consumer and its cursors: retention may pass what it has not handled."""
        query_of(request, ())
        name = check_name("name", request.match_info["name"])
        if name not in await self._journal.consumers():
            raise RefusedError(404, "name", name, "must be an attached forwarder")
        await self._journal.detach(name)
        return answer({"detached": name})

    async def rebind(self, request: web.Request) -> web.Response:
        """Bind a consumer's cursors to the journal's present generation."""
        query_of(request, ())
        name = check_name("name", request.match_info["name"])
        try:
            await self._journal.rebind(name)
        except UnknownConsumerError as error:
            raise RefusedError(404, "name", name, "must be an attached forwarder") from error
        self._services.operated()
        return answer({"rebound": name})

    async def list_parked(self, request: web.Request) -> web.Response:
        """Answer parked events in the order in which they were parked."""
        given = query_of(request, ("forwarder", "after", "limit"))
        consumer = given.get("forwarder")
        if consumer is not None:
            check_name("forwarder", consumer)
        after = integer_of(given, "after", 0, low=0, high=MAX_ID)
        limit = limit_of(given)
        records = await self._journal.parked(consumer, after_id=after, limit=limit)
        more = records[-1].id if len(records) == limit else None
        return answer({"parked": [parked_to_json(one) for one in records], "next": more})

    async def unpark(self, request: web.Request) -> web.Response:
        """Forget one parked event."""
        query_of(request, ())
        text = request.match_info["id"]
        number = integer_of({"id": text}, "id", 0, low=1, high=MAX_ID)
        if not await self._journal.unpark([number]):
            raise RefusedError(404, "id", text, "must be the id of a parked event")
        self._services.operated()
        return answer({"unparked": number})

    async def _enrolled(self, device: EnrolledDevice) -> EnrolledDevice:
        return await self._journal.device(device.key) or device


def forwarder_to_json(status: ForwarderStatus, cursors: Sequence[ConsumerCursor]) -> dict[str, Any]:
    """Return a running forwarder as a JSON object."""
    return {
        "name": status.name,
        "state": status.state,
        "reason": status.reason,
        "guarantee": status.guarantee.value,
        "delivered": status.delivered,
        "parked": status.parked,
        "retries": status.retries,
        "lag_frames": status.lag_frames,
        "lag_bytes": status.backlog.size_bytes,
        "lag_age_s": round(status.backlog.age_s, 3),
        "breaker": status.breaker.value,
        "breaker_opened": status.breaker_opened,
        "retry_in_s": round(status.retry_in_s, 3),
        "rung": status.rung.value,
        "rung_reason": status.rung_reason,
        "asked_of_devices": status.asked.name.lower(),
        "skipped_frames": status.skipped_frames,
        "skipped_events": status.skipped_events,
        "cursors": sum(one.consumer == status.name for one in cursors),
    }


def consumer_to_json(name: str, cursors: Sequence[ConsumerCursor]) -> dict[str, Any]:
    """Return a consumer that is attached but not configured, and so holds retention back."""
    own = [one for one in cursors if one.consumer == name]
    return {
        "name": name,
        "state": "absent",
        "reason": "attached, but not in this configuration; it holds retention back",
        "guarantee": None,
        "delivered": 0,
        "parked": 0,
        "retries": 0,
        "lag_frames": sum(one.lag_frames for one in own),
        "lag_bytes": None,
        "lag_age_s": None,
        "breaker": None,
        "breaker_opened": 0,
        "retry_in_s": 0.0,
        "rung": None,
        "rung_reason": "",
        "asked_of_devices": "full",
        "skipped_frames": 0,
        "skipped_events": 0,
        "cursors": len(own),
    }


def parked_to_json(record: ParkedRecord) -> dict[str, Any]:
    """Return a parked event as a JSON object; ``body`` is what would have been sent."""
    return {
        "id": record.id,
        "forwarder": record.consumer,
        "tenant": record.partition.tenant,
        "store": record.partition.store,
        "position": f"{record.offset}.{record.index}" if record.index >= 0 else str(record.offset),
        "event_id": record.event_id,
        "reason": record.reason,
        "parked": format_time(record.parked_ns),
        "body": record.body.decode(errors="replace") if record.index >= 0 else "",
        "body_bytes": len(record.body),
    }


def _device_place(text: str | None) -> DeviceKey | None:
    if text is None:
        return None
    if _DEVICE_PLACE.fullmatch(text) is None:
        raise RefusedError(400, "after", text, "must be tenant/store/device, a 'next' of this API")
    return DeviceKey(*text.split("/"))
