import pytest

from whimbrel_agent.localhttp.guard import refuse_browsers
from whimbrel_agent.localhttp.message import HttpError, Request


class NoBody:
    async def piece(self) -> bytes | None:
        return None

    async def read(self, limit_bytes: int) -> bytes:
        return b""


def request(*, local: bool = False, **headers: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("POST", "/", {}, named, NoBody(), local)


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8440", "127.0.0.1", "127.0.0.9:1", "[::1]", "[::1]:8440"]
)
def test_programs_of_this_machine_may(host: str) -> None:
    refuse_browsers(request(host=host))
    refuse_browsers(request(host=host, sec_fetch_site="none"))


@pytest.mark.parametrize(
    "host",
    ["", "shop.example", "localhost.evil.example", "192.168.1.4", "[fe80::1]", "127.0.0.1.x"],
)
def test_other_names_of_this_machine_may_not(host: str) -> None:
    with pytest.raises(HttpError) as caught:
        refuse_browsers(request(host=host))
    assert caught.value.status == 403
    refuse_browsers(request(host=host, local=True))


@pytest.mark.parametrize(
    "header", [{"origin": "null"}, {"origin": "http://localhost"}, {"sec_fetch_site": "same-site"}]
)
def test_web_pages_may_not_by_any_way(header: dict[str, str]) -> None:
    for local in (True, False):
        with pytest.raises(HttpError):
            refuse_browsers(request(host="localhost", local=local, **header))
