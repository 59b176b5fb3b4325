import subprocess
import sys

import pytest

from whimbrel_agent import exits
from whimbrel_agent.cli import main

COMMANDS = ("run", "status", "emit", "import", "buffer", "drain", "keygen")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert f"whimbrel-agent {command}" in capsys.readouterr().out.partition("example")[2]


def test_help_lists_every_command_and_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    assert all(command in shown for command in COMMANDS)
    assert exits.TABLE in shown


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )


def test_without_the_extras_it_says_what_to_install() -> None:
    hide = "import sys; sys.modules['h11'] = None\n"
    done = run_python(hide + "from whimbrel_agent.cli import main; sys.exit(main(['status']))")
    assert done.returncode == exits.USAGE
    assert "whimbrel[agent]" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_loads_nothing_but_the_standard_library() -> None:
    done = run_python(
        "import sys, contextlib\n"
        "from whimbrel_agent.cli import main\n"
        "with contextlib.suppress(SystemExit): main(['--help'])\n"
        "print([name for name in ('cbor2', 'h11', 'asyncio', 'sqlite3') if name in sys.modules],"
        " file=sys.stderr)"
    )
    assert done.stderr.strip() == "[]"


def test_the_agent_loads_no_importer_and_no_psutil() -> None:
    done = run_python(
        "import sys, whimbrel_agent.commands.run\n"
        "print([name for name in ('whimbrel_agent.intake.bulk', 'whimbrel_agent.intake.sources',"
        " 'whimbrel_agent.intake.mapping', 'psutil', 'zoneinfo', 'csv', 'aiohttp', 'rich')"
        " if name in sys.modules])"
    )
    assert done.stdout.strip() == "[]", done.stderr
