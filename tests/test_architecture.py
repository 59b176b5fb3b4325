"""Rules on the tree itself: sizes, names, thin packages, a test for each module, cheap imports."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = [
    ROOT / "protocol" / "whimbrel_protocol",
    ROOT / "agent" / "whimbrel_agent",
    ROOT / "aggregator" / "whimbrel_aggregator",
    ROOT / "simulators" / "whimbrel_sim",
]
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60
# A name that says nothing about the domain collects what belongs nowhere.
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "misc", "models"}
# What an agent on a 512 MB board must never load: megabytes each, and no use there.
TOO_HEAVY_FOR_THE_AGENT = {
    "aiohttp",
    "amqtt",
    "cryptography",
    "multiprocessing",
    "numpy",
    "prometheus_client",
    "psycopg",
    "pydantic",
    "requests",
    "rich",
    "unittest",
    "whimbrel_aggregator",
    "whimbrel_sim",
    "yaml",
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def source_modules() -> list[Path]:
    return sorted(path for package in PACKAGES for path in package.rglob("*.py"))


def module_name(path: Path) -> str:
    """The dotted name under which ``path`` is imported."""
    package = next(package for package in PACKAGES if path.is_relative_to(package))
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def code_lines(function: Function) -> int:
    """The length of a function without its docstring."""
    end = function.end_lineno or function.lineno
    length = end - function.lineno + 1
    if ast.get_docstring(function) is not None:
        text = function.body[0]
        length -= (text.end_lineno or text.lineno) - text.lineno + 1
    return length


each_module = pytest.mark.parametrize("path", source_modules(), ids=module_name)


@each_module
def test_a_module_is_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_MODULE_LINES


@each_module
def test_its_functions_are_short(path: Path) -> None:
    functions = [node for node in ast.walk(tree_of(path)) if isinstance(node, Function)]
    too_long = {f.name: code_lines(f) for f in functions if code_lines(f) > MAX_FUNCTION_LINES}
    assert not too_long


@each_module
def test_it_is_named_after_the_domain(path: Path) -> None:
    assert VAGUE_NAMES.isdisjoint(module_name(path).split("."))


@each_module
def test_it_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(tree_of(path))


@pytest.mark.parametrize(
    "path", [path for path in source_modules() if path.name == "__init__.py"], ids=module_name
)
def test_a_package_only_names_what_it_offers(path: Path) -> None:
    plain = ast.Expr | ast.Import | ast.ImportFrom | ast.Assign | ast.AnnAssign
    assert [node for node in tree_of(path).body if not isinstance(node, plain)] == []


def imported_names(tree: ast.Module) -> Iterator[str]:
    """Every dotted name a test imports, or names in a string: as ``python -m`` or a command."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield COMMANDS.get(node.value, node.value)


def console_commands() -> dict[str, str]:
    """Each installed command with the module it runs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {command: target.partition(":")[0] for command, target in project["scripts"].items()}


COMMANDS = console_commands()


@cache
def names_used_by_tests() -> frozenset[str]:
    files = (ROOT / "tests").rglob("*.py")
    return frozenset(name for path in files for name in imported_names(tree_of(path)))


def has_code(path: Path) -> bool:
    """Whether some function does something: ports and constants only declare."""
    functions = [node for node in ast.walk(tree_of(path)) if isinstance(node, Function)]
    bodies = [f.body[1:] if ast.get_docstring(f) is not None else f.body for f in functions]
    return any(not is_placeholder(statement) for body in bodies for statement in body)


def is_placeholder(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and statement.value.value is Ellipsis
    )


@pytest.mark.parametrize(
    "path",
    [p for p in source_modules() if p.name not in {"__init__.py", "__main__.py"} and has_code(p)],
    ids=module_name,
)
def test_some_test_uses_it(path: Path) -> None:
    assert module_name(path) in modules_reached_by_tests(), "no test runs this module"


@cache
def modules_reached_by_tests() -> frozenset[str]:
    """Every module that a test imports or runs as a command, and what these import in turn."""
    files = {module_name(path): path for path in source_modules()}
    found = {name for name, path in files.items() if is_run(name, path)}
    fresh = found
    while fresh:
        fresh = {name for one in fresh for name in imports_of(one, files[one]) if name in files}
        fresh -= found
        found = found | fresh
    return frozenset(found)


def is_run(name: str, path: Path) -> bool:
    """Whether tests import a module, run it with ``-m``, or name the command that it is."""
    if path.name == "__main__.py":
        return name.removesuffix(".__main__") in names_used_by_tests()
    by_word = path.parent.name == "commands" and path.stem in names_used_by_tests()
    return by_word or name in names_used_by_tests()


def imports_of(name: str, path: Path) -> Iterator[str]:
    """Every dotted name a module imports, relative ones made whole."""
    parts = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom) and node.level:
            package = ".".join(parts[: len(parts) - node.level + 1])
            module = f"{package}.{node.module}" if node.module else package
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
    yield from imported_names(tree_of(path))


def test_the_agent_loads_nothing_heavy() -> None:
    agent = PACKAGES[1]
    names = [module_name(path) for path in source_modules() if path.is_relative_to(agent)]
    # __main__ runs when it is imported; everything else of the agent is loaded at once.
    names = [name for name in names if not name.endswith("__main__")]
    program = (
        "import importlib, json, sys\n"
        "for name in json.load(sys.stdin): importlib.import_module(name)\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(names),
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert "whimbrel_agent" in loaded
    assert loaded & TOO_HEAVY_FOR_THE_AGENT == set()
