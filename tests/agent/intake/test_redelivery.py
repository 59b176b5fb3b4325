from hypothesis import given
from hypothesis import strategies as st

from whimbrel_agent.intake.redelivery import REMEMBERED, TRUSTED_RUN, Redelivery, Seen


def message(mid: int, payload: bytes = b"x") -> Seen:
    return Seen.of(mid, b"topic", payload)


def counted(count: int, first: int = 1) -> list[Seen]:
    """Messages of a broker that counts its packet ids up, round and round."""
    return [message((first + place - 1) % 65_535 + 1) for place in range(count)]


def test_the_last_messages_are_known_exactly() -> None:
    memory = Redelivery().after(counted(200))
    newest = counted(200)[-REMEMBERED:]
    assert all(memory.committed(seen) for seen in newest)
    assert not memory.committed(counted(200)[-REMEMBERED - 1])
    assert not memory.committed(message(201))
    assert not memory.committed(message(200, b"other payload"))


def test_after_a_long_rising_run_everything_behind_is_known() -> None:
    memory = Redelivery().after(counted(TRUSTED_RUN + 1))
    assert memory.committed(message(1, b"whatever"))
    assert not memory.committed(message(TRUSTED_RUN + 2))


def test_the_run_goes_on_over_the_end_of_the_packet_ids() -> None:
    memory = Redelivery().after(counted(3_000, first=64_000))
    assert memory.committed(message(65_535, b"whatever"))
    assert not memory.committed(message(3_000))


def test_a_broker_that_reuses_low_ids_is_never_trusted() -> None:
    memory = Redelivery()
    for _ in range(100):
        memory = memory.after(counted(50))
    assert not memory.committed(message(3, b"new"))


def test_a_session_that_begins_anew_is_not_trusted_again_at_once() -> None:
    memory = Redelivery().after(counted(5_000)).after([message(1)])
    assert not memory.committed(message(5_000, b"new"))


@given(st.lists(st.integers(1, 65_535), max_size=100), st.integers(0, 2_000))
def test_the_state_survives_packing_and_fits_a_checkpoint(mids: list[int], run: int) -> None:
    memory = Redelivery().after(counted(run)).after([message(mid) for mid in mids])
    packed = memory.pack()
    assert len(packed) <= 256
    again = Redelivery(packed)
    assert again.pack() == packed
    for mid in (1, 700, 65_535, *mids):
        assert again.committed(message(mid)) == memory.committed(message(mid))
