from pathlib import Path

import pytest

from whimbrel_agent import exits
from whimbrel_agent.buffer.values import BufferFullError, BufferLockedError
from whimbrel_agent.commands.failures import UsageError, guarded
from whimbrel_agent.keyfile import KeyFileError
from whimbrel_agent.localhttp.client import NoAgentError
from whimbrel_agent.settings import ConfigError
from whimbrel_protocol.errors import FieldError


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError("why"), exits.USAGE),
        (ConfigError(Path("a.toml"), "", "", "why"), exits.USAGE),
        (KeyFileError("why"), exits.USAGE),
        (NoAgentError("why"), exits.NO_AGENT),
        (BufferLockedError("why"), exits.BUFFER),
        (BufferFullError("why"), exits.BUFFER),
        (FieldError("field", 1, "why"), exits.REFUSED),
        (OSError(28, "why", "file"), exits.REFUSED),
    ],
)
def test_each_kind_of_error_has_its_status_and_one_line(
    error: Exception, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> int:
        raise error

    assert guarded(fail) == status
    shown = capsys.readouterr().err
    assert shown.startswith("whimbrel-agent: ")
    assert "why" in shown
    assert shown.count("\n") == 1


def test_a_mistake_of_this_program_is_not_dressed_up() -> None:
    with pytest.raises(ZeroDivisionError):
        guarded(lambda: 1 // 0)


def test_work_that_ends_well_gives_its_own_status() -> None:
    assert guarded(lambda: exits.DONE) == exits.DONE
