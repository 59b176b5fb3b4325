"""What a running agent loads, asked of real processes: memory itself is measured by the bench."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from whimbrel_protocol.keys import PrivateKey

# Each costs a small device a megabyte or so, and an agent whose brokers need no TLS never asks.
NOT_WITHOUT_TLS = {"_hashlib", "_ssl", "email", "http.client", "ssl", "tempfile", "urllib.request"}
# For people at a terminal, for the importer, and for damaged buffers.
NEVER_TO_RUN = {
    "bz2",
    "csv",
    "difflib",
    "lzma",
    "shutil",
    "whimbrel_agent.buffer.salvage",
    "whimbrel_agent.commands.bulk",
    "whimbrel_agent.commands.emit",
    "whimbrel_agent.intake.sources",
    "zoneinfo",
}
_CONFIG = """\
[device]
tenant = "acme"
region = "eu-1"
store = "store-1"
device = "till-1"
key = "missing.key"
region_key = "{region_key}"
[buffer]
path = "buffer.db"
[uplink]
brokers = ["{url}"]
[intake.http]
listen = "127.0.0.1:0"
[intake.mqtt]
broker = "{url}"
topics = ["shop/#"]
[intake.machine]
every_s = 60.0
"""


def loaded_by_run(folder: Path, url: str, then: str = "") -> set[str]:
    """The modules that ``run`` has loaded when it finds that its key is missing, and psutil's."""
    config = folder / "agent.toml"
    key = PrivateKey(bytes(32)).public.to_text()
    config.write_text(_CONFIG.format(url=url, region_key=key))
    program = (
        "import json, sys\n"
        "from whimbrel_agent import exits\n"
        "from whimbrel_agent.cli import main\n"
        "assert main(['run', '--config', sys.argv[1]]) == exits.USAGE\n"
        "from whimbrel_agent.intake import metrics\n"
        f"{then}\n"
        "print(json.dumps([n for n, m in sys.modules.items() if getattr(m, '__spec__', None)]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(config)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "missing.key" in done.stderr
    loaded: list[str] = json.loads(done.stdout)
    return set(loaded)


@pytest.mark.parametrize("url", ["mqtt://127.0.0.1", "ws://127.0.0.1"])
def test_without_tls_no_openssl_is_loaded(tmp_path: Path, url: str) -> None:
    loaded = loaded_by_run(tmp_path, url)
    assert {"asyncio", "h11", "hashlib", "paho.mqtt.client", "psutil"} <= loaded
    assert loaded & NOT_WITHOUT_TLS == set()


@pytest.mark.parametrize("url", ["mqtts://broker.example", "WSS://broker.example"])
def test_with_tls_asyncio_and_the_libraries_have_openssl(tmp_path: Path, url: str) -> None:
    check = (
        "import asyncio.base_events, paho.mqtt.client, ssl\n"
        "assert asyncio.base_events.ssl is paho.mqtt.client.ssl is ssl"
    )
    assert {"_hashlib", "_ssl", "ssl"} <= loaded_by_run(tmp_path, url, check)


def test_nothing_is_loaded_that_only_commands_or_a_damaged_buffer_need(tmp_path: Path) -> None:
    loaded = loaded_by_run(tmp_path, "mqtt://127.0.0.1")
    assert loaded & NEVER_TO_RUN == set()


def test_a_postponed_module_is_whole_once_something_is_asked_of_it(tmp_path: Path) -> None:
    use = (
        "import paho.mqtt.client as paho\n"
        "never = paho.ssl.SSLWantReadError\n"
        "context = paho.ssl.create_default_context()\n"
        "import os, ssl, urllib.request\n"
        "os.environ['http_proxy'] = 'http://proxy.example:3128'\n"
        "assert type(context) is ssl.SSLContext and ssl is not paho.ssl\n"
        "assert paho.ssl.SSLWantReadError is ssl.SSLWantReadError is not never\n"
        "assert urllib.request.getproxies()['http'] == 'http://proxy.example:3128'\n"
        "from urllib.request import Request\n"
        "assert Request('http://127.0.0.1/').host == '127.0.0.1'"
    )
    assert {"_ssl", "ssl", "urllib.request"} <= loaded_by_run(tmp_path, "mqtt://127.0.0.1", use)


def test_hashes_are_the_same_without_openssl(tmp_path: Path) -> None:
    check = (
        "import hashlib, hmac\n"
        "assert hashlib.sha256(b'abc').hexdigest().startswith('ba7816bf8f01cfea')\n"
        "assert hashlib.sha1(b'abc').hexdigest().startswith('a9993e364706816a')\n"
        "assert hashlib.blake2b(b'abc').hexdigest().startswith('ba80a53f981c4d0d')\n"
        "assert hmac.new(b'k', b'm', 'sha256').hexdigest()"
    )
    assert "_hashlib" not in loaded_by_run(tmp_path, "mqtt://127.0.0.1", check)


def test_a_module_that_is_loaded_already_is_left_alone() -> None:
    program = (
        "import ssl, urllib.request, sys\n"
        "from pathlib import Path\n"
        "before = ssl, urllib.request\n"
        "from whimbrel_agent.memory import keep_small\n"
        "keep_small(Path('no-such-file'))\n"
        "keep_small(Path('/dev/null'))\n"
        "assert (sys.modules['ssl'], sys.modules['urllib.request']) == before"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_agent_starts_with_an_unknown_allocator_too() -> None:
    program = (
        "import ctypes; ctypes.CDLL = lambda _: object()\n"
        "from pathlib import Path\n"
        "from whimbrel_agent.memory import keep_small\n"
        "keep_small(Path('/dev/null'))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_frozen_value_has_one_class_and_refuses_in_the_words_of_dataclasses(
    tmp_path: Path,
) -> None:
    check = (
        "import gc\n"
        "from dataclasses import FrozenInstanceError, dataclass, replace\n"
        "from whimbrel_protocol.names import Address\n"
        "def there(module):\n"
        "    return [o.__qualname__ for o in gc.get_objects(None)\n"
        "            if isinstance(o, type) and o.__module__ == module]\n"
        "gc.unfreeze()\n"
        "for module in ('whimbrel_protocol.names', 'whimbrel_agent.uplink.values'):\n"
        "    names = there(module)\n"
        "    assert len(names) == len(set(names)) > 0, names\n"
        "@dataclass(frozen=True, slots=True)\n"
        "class Plain:\n"
        "    store: str\n"
        "def words(action):\n"
        "    try:\n"
        "        action()\n"
        "    except FrozenInstanceError as error:\n"
        "        return str(error)\n"
        "address, plain = Address(tenant='acme', region='eu-1', store='store-1', device='till-1'), Plain('store-1')\n"
        "for act in (lambda o: setattr(o, 'store', 'x'), lambda o: delattr(o, 'store')):\n"
        "    said = words(lambda: act(plain))\n"
        "    assert said and said == words(lambda: act(address)), said\n"
        "assert replace(address, store='store-2').store == 'store-2'"
    )
    loaded_by_run(tmp_path, "mqtt://127.0.0.1", check)
