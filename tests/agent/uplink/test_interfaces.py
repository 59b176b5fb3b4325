"""Which interface an address belongs to, on this machine."""

from __future__ import annotations

import pytest

from whimbrel_agent.uplink.interfaces import interface_of


def test_loopback_is_found() -> None:
    assert interface_of("127.0.0.1") == "lo"


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1", "", "no address", "/run/socket"])
def test_what_is_not_ours_has_no_interface(address: str) -> None:
    assert interface_of(address) == ""
