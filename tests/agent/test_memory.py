from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import json, os, sys
from whimbrel_agent.memory import keep_small
keep_small()
import paho.mqtt.client
before = "http.client" in sys.modules
import urllib.request
os.environ["http_proxy"] = "http://proxy.example:3128"
proxies = paho.mqtt.client.urllib.request.getproxies()
from urllib.request import Request
print(json.dumps([before, proxies["http"], Request("http://shop.example/").host]))
"""


def test_no_http_client_is_loaded_until_one_is_used() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    loaded, proxy, host = json.loads(done.stdout)
    assert not loaded
    assert proxy == "http://proxy.example:3128"
    assert host == "shop.example"


def test_the_agent_starts_in_an_unknown_allocator_too() -> None:
    program = (
        "import ctypes; ctypes.CDLL = lambda _: object(); import whimbrel_agent.memory as memory;"
        "memory.keep_small()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
