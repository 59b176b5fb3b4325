import socket
import stat
from pathlib import Path

import pytest

from whimbrel_agent.localhttp.listen import ListenError, listen_tcp, listen_unix, remove_unix


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.org", ""])
def test_only_loopback_is_listened_on(host: str) -> None:
    with pytest.raises(ListenError, match="loopback"):
        listen_tcp(host, 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_loopback_is_listened_on(host: str) -> None:
    with listen_tcp(host, 0) as listener:
        assert listener.getsockname()[1] > 0


def test_a_port_in_use_is_named() -> None:
    with listen_tcp("127.0.0.1", 0) as first, pytest.raises(ListenError, match="in use"):
        listen_tcp("127.0.0.1", first.getsockname()[1])


def test_only_the_owner_may_open_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    with listen_unix(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_socket_left_by_a_dead_process_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    listen_unix(path).close()
    assert path.exists()
    with listen_unix(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_socket_somebody_listens_on_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    with listen_unix(path), pytest.raises(ListenError, match="another process"):
        listen_unix(path)


def test_a_file_in_the_sockets_place_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    path.write_text("precious")
    with pytest.raises(ListenError, match="no socket"):
        listen_unix(path)
    assert path.read_text() == "precious"


def test_removing_twice_is_harmless(tmp_path: Path) -> None:
    listen_unix(tmp_path / "a.sock").close()
    remove_unix(tmp_path / "a.sock")
    remove_unix(tmp_path / "a.sock")
