"""Tables of settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from whimbrel_agent.settings import ConfigError, Table

FILE = Path("/etc/whimbrel/agent.toml")


def table(**values: object) -> Table:
    return Table(FILE, "part", values)


@pytest.mark.parametrize(
    ("value", "size"),
    [(5, 5), ("5", 5), ("5 kB", 5_000), ("5KiB", 5_120), ("2 MiB", 2_097_152), ("1 GB", 10**9)],
)
def test_sizes_have_units(value: object, size: int) -> None:
    assert table(size=value).size("size", 1, 0, 10**12) == size


@pytest.mark.parametrize("value", ["", "five", "-1", "1.5 MiB", 1.5, True, [], "5 XB"])
def test_what_is_no_size_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match="must be a size from 0 to 9 bytes"):
        table(size=value).size("size", 1, 0, 9)


def test_secrets_are_not_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        table(password=12345).text("password")
    assert "12345" not in str(caught.value)


def test_paths_are_relative_to_the_file() -> None:
    assert table(path="a/b").path("path") == Path("/etc/whimbrel/a/b")
    assert table(path="/a/b").path("path") == Path("/a/b")


def test_a_flag_is_true_or_false() -> None:
    assert table(on=True).flag("on", default=False)
    assert not table().flag("on", default=False)
    with pytest.raises(ConfigError, match="must be true or false"):
        table(on=1).flag("on", default=False)


def test_whole_numbers_do_not_take_others() -> None:
    for value in (1.0, True, "1"):
        with pytest.raises(ConfigError, match="must be a whole number from 0 to 5"):
            table(n=value).integer("n", 1, 0, 5)


def test_the_error_carries_its_parts() -> None:
    with pytest.raises(ConfigError) as caught:
        table().text("name")
    error = caught.value
    assert (error.file, error.table, error.key) == (FILE, "part", "name")
    assert str(error) == f"{FILE}: [part] name {error.problem}"


def test_asking_whether_a_key_is_set_makes_it_known() -> None:
    asked = table(on=False)
    assert asked.has("on")
    assert not asked.has("off")
    asked.finish()
