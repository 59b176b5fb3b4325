import os
import threading
from argparse import Namespace
from decimal import Decimal

import pytest

from whimbrel_agent.commands import emit
from whimbrel_agent.commands.failures import UsageError


def test_members_have_the_kind_that_their_key_names() -> None:
    options = Namespace(
        type="t",
        source="s",
        lane="high",
        subject=None,
        zone=None,
        time=None,
        id="7",
        data=["n:int=3", "p:decimal=1.10", "a:b=c", "t=1", "j:json=[1]", "e="],
    )
    assert emit._event(options) == {
        "type": "t",
        "source": "s",
        "lane": "high",
        "dedup_key": "7",
        "data": {"n": 3, "p": Decimal("1.10"), "a:b": "c", "t": "1", "j": [1], "e": ""},
    }


@pytest.mark.parametrize("text", ["x", "=1", "n:int=x", "b:bool=maybe", "d:decimal=x", "j:json={"])
def test_a_member_that_is_none_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        emit._member(text)


def test_a_pipe_is_cut_at_lines_and_nothing_of_it_is_lost() -> None:
    reader, writer = os.pipe()
    lines = b"".join(b'{"n": %d}\n' % number for number in range(30_000)) + b'{"last": 1}'

    def write() -> None:
        with os.fdopen(writer, "wb") as stream:
            stream.write(lines)

    writing = threading.Thread(target=write)
    writing.start()
    slices = list(emit._slices(reader))
    writing.join()
    os.close(reader)
    assert b"".join(slices) == lines + b"\n"
    assert all(part.endswith(b"\n") for part in slices)
    assert len(slices) > 3


def test_a_line_is_handed_on_although_the_pipe_stays_open() -> None:
    reader, writer = os.pipe()
    os.write(writer, b'{"n": 1}\n{"n"')
    slices = emit._slices(reader)
    assert next(slices) == b'{"n": 1}\n'
    os.close(writer)
    assert list(slices) == [b'{"n"\n']
    os.close(reader)
