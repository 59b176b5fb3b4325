"""Every page: links lead somewhere, settings load, our own commands parse."""

import shlex
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

import whimbrel_agent.cli
import whimbrel_aggregator.cli
import whimbrel_sim.cli
from documents import ROOT, blocks_of, links_of, pages

PAGES = pages()
PARSERS: dict[str, Callable[[list[str]], object]] = {
    "whimbrel-agent": lambda words: whimbrel_agent.cli.build_parser().parse_args(words),
    "whimbrel-aggregator": whimbrel_aggregator.cli.parse,
    "whimbrel-sim": lambda words: whimbrel_sim.cli.build_parser().parse_args(words),
}


def test_there_are_pages() -> None:
    assert ROOT / "README.md" in PAGES
    assert ROOT / "protocol" / "README.md" in PAGES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_its_links_lead_to_files_that_are_there(page: Path) -> None:
    assert [str(link) for link in links_of(page) if not link.exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_its_settings_are_toml(page: Path) -> None:
    for block in blocks_of(page):
        if block.language == "toml":
            tomllib.loads(block.text)


def _own_commands() -> list[tuple[str, str]]:
    return [
        (str(page.relative_to(ROOT)), command)
        for page in PAGES
        for block in blocks_of(page)
        if block.language == "sh"
        for command in block.commands()
        if command.removeprefix("sudo -u whimbrel ").split()[0].rsplit("/", 1)[-1] in PARSERS
    ]


@pytest.mark.parametrize(("page", "command"), _own_commands())
def test_our_commands_are_ones_that_our_programs_take(page: str, command: str) -> None:
    words = shlex.split(command.removeprefix("sudo -u whimbrel ").split(" | ")[0].split(" > ")[0])
    PARSERS[words[0].rsplit("/", 1)[-1]](words[1:])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_scripts_that_it_names_are_there(page: Path) -> None:
    for block in blocks_of(page):
        if block.language == "sh":
            for command in block.commands():
                program = command.split()[0]
                if program.startswith("scripts/"):
                    assert (ROOT / program).exists(), command
