"""Epochs."""

import pytest

from whimbrel_protocol.epoch import MAX_ORDINAL, fork_epoch, make_epoch, ordinal_of
from whimbrel_protocol.errors import LocalProtocolError


def test_an_epoch_fits_a_signed_64_bit_column() -> None:
    assert make_epoch(MAX_ORDINAL, 2**40 - 1) == 2**63 - 1


def test_the_ordinal_comes_back() -> None:
    assert ordinal_of(make_epoch(77, 12345)) == 77


@pytest.mark.parametrize(("ordinal", "bits"), [(0, 0), (MAX_ORDINAL + 1, 0), (1, 2**40), (1, -1)])
def test_parts_outside_their_bits_are_refused(ordinal: int, bits: int) -> None:
    with pytest.raises(LocalProtocolError):
        make_epoch(ordinal, bits)


def test_a_fork_has_its_own_epoch_and_keeps_the_ordinal() -> None:
    one, two = fork_epoch(b"a" * 8, 5), fork_epoch(b"b" * 8, 5)
    assert one != two
    assert one == fork_epoch(b"a" * 8, 5)
    assert ordinal_of(one) == ordinal_of(two) == 5
