"""A server that is not installed is a failure in CI and a skip elsewhere."""

from __future__ import annotations

import pytest

from servers.missing import find_program


def test_in_ci_the_test_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="run scripts/setup-servers"):
        find_program("no-such-broker")


def test_elsewhere_it_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="run scripts/setup-servers"):
        find_program("no-such-broker")


def test_programs_of_this_environment_are_found() -> None:
    assert find_program("nats-server").is_file()
