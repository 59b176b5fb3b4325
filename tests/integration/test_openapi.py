"""The OpenAPI document holds against the running server: schemathesis, bounded and seeded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from committed import api_child
from servers.missing import find_program

EXAMPLES = 20
SEED = 20_261_122


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_schemathesis_finds_nothing_that_the_document_does_not_say(tmp_path: Path) -> None:
    program = find_program("schemathesis")
    tests = Path(api_child.__file__).parent.parent
    environment = {
        **os.environ,
        "PYTHONPATH": str(tests),
        "SCHEMATHESIS_HOOKS": "committed.openapi_hooks",
    }
    server = subprocess.Popen(
        [sys.executable, api_child.__file__, tmp_path / "journal.db"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        command = [str(program), "run", f"{url}/openapi.json", f"--seed={SEED}"]
        command += [f"--max-examples={EXAMPLES}", "--request-timeout=20", "--no-color"]
        found = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert found.returncode == 0, found.stdout[-8_000:] + found.stderr[-2_000:]
        assert server.poll() is None
    finally:
        server.kill()
        server.wait()
        if server.stdout is not None:
            server.stdout.close()
