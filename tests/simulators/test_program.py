from __future__ import annotations

import signal
import socket
from pathlib import Path

import psutil
import pytest

from servers.waiting import wait_until
from whimbrel_sim.ports import free_port
from whimbrel_sim.program import Program, ProgramError, run_command

TIMEOUT_S = 20.0


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def program(tmp_path: Path, port: int) -> Program:
    arguments = [str(port), "--bind", "127.0.0.1"]
    return Program("served", "http.server", arguments, tmp_path)


def serves(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def test_a_killed_program_starts_again_on_the_same_port(program: Program, port: int) -> None:
    try:
        for starts in (1, 2):
            program.start()
            wait_until(lambda: serves(port), timeout_s=TIMEOUT_S, what="start")
            assert program.starts == starts
            program.kill()
            assert not program.running
            assert not serves(port)
    finally:
        program.kill()


def test_an_orderly_stop_gives_the_exit_status(program: Program, port: int) -> None:
    program.start()
    wait_until(lambda: serves(port), timeout_s=TIMEOUT_S, what="start")
    assert program.stop() == -signal.SIGTERM
    program.check_alive()  # it was asked to end


def test_a_suspended_program_stands_still_until_it_is_woken(program: Program, port: int) -> None:
    try:
        program.start()
        wait_until(lambda: serves(port), timeout_s=TIMEOUT_S, what="start")
        process = psutil.Process(program.pid)
        program.suspend()
        wait_until(
            lambda: process.status() == psutil.STATUS_STOPPED, timeout_s=TIMEOUT_S, what="stop"
        )
        program.wake()
        wait_until(
            lambda: process.status() != psutil.STATUS_STOPPED, timeout_s=TIMEOUT_S, what="wake"
        )
    finally:
        program.kill()


def test_a_program_that_ends_by_itself_is_reported_with_its_log(tmp_path: Path) -> None:
    program = Program("broken", "no_such_module", [], tmp_path)
    program.start()
    wait_until(lambda: not program.running, timeout_s=TIMEOUT_S, what="end")
    with pytest.raises(ProgramError, match="No module named no_such_module"):
        program.check_alive()


def test_a_command_that_fails_is_reported_with_what_it_printed(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match="No module named no_such_module"):
        run_command("no_such_module", folder=tmp_path)
