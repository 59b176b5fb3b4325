"""One version, said in several places."""

import tomllib
from pathlib import Path

import whimbrel_agent


def test_the_agent_says_the_version_of_the_project() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert whimbrel_agent.__version__ == project["version"]
