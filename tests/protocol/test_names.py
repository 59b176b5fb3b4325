"""Names and partitions."""

import pytest

from whimbrel_protocol.errors import FieldError
from whimbrel_protocol.names import Address, check_name, is_name, partition_of


@pytest.mark.parametrize("text", ["a", "0", "store-12", "till_3", "a" * 32])
def test_a_name_of_the_small_alphabet_is_taken(text: str) -> None:
    assert is_name(text)
    assert check_name("store", text) == text


@pytest.mark.parametrize(
    "text",
    ["", "all", "a" * 33, "-a", "_a", "A", "ä", "a b", "a\tb", "a/b", "a+", "#", "a\n", None, 3],
)
def test_anything_else_is_refused_with_field_value_and_rule(text: object) -> None:
    assert not is_name(text)
    with pytest.raises(FieldError) as caught:
        check_name("store", text)
    assert caught.value.field == "store"
    assert "'all'" in caught.value.rule


def test_partitions_are_a_protocol_constant() -> None:
    # Golden: these numbers are in topics and in every replica's share. They never change.
    assert partition_of("acme", "store-12") == 9
    assert partition_of("acme", "store-13") == 23
    assert partition_of("globex", "berlin") == 52


def test_partitions_spread_stores_evenly() -> None:
    counts = [0] * 64
    for number in range(6400):
        counts[partition_of("acme", f"store-{number}")] += 1
    assert min(counts) > 60
    assert max(counts) < 150


def test_an_address_refuses_a_bad_part() -> None:
    with pytest.raises(FieldError, match="device"):
        Address(tenant="acme", region="eu-1", store="s", device="Till 1")


def test_an_address_reads_as_a_path() -> None:
    address = Address(tenant="acme", region="eu-1", store="store-12", device="till-3")
    assert str(address) == "acme/eu-1/store-12/till-3"
    assert address.partition == partition_of("acme", "store-12")
