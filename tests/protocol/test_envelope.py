"""Messages besides frames."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whimbrel_protocol import cborform, cose
from whimbrel_protocol.envelope import open_message, seal_message
from whimbrel_protocol.errors import LocalProtocolError, RemoteProtocolError
from whimbrel_protocol.header import UnsupportedVersionError
from whimbrel_protocol.keys import PrivateKey
from whimbrel_protocol.lanes import LANES
from whimbrel_protocol.limits import MAX_DICTIONARIES_NAMED, MAX_RECEIPT_ENTRIES
from whimbrel_protocol.messages import (
    Credit,
    Detail,
    DictionaryAnswer,
    DictionaryOffer,
    DictionaryStatus,
    Hold,
    Message,
    Receipt,
    ReceiptEntry,
    Resume,
    ResumeAnswer,
    Status,
    StreamQuestion,
    StreamState,
    Want,
)
from whimbrel_protocol.names import Address

KEY = PrivateKey(bytes(range(32)))
ADDRESS = Address(tenant="acme", region="eu-1", store="store-12", device="till-3")
CREDIT = Credit(4_000_000, 300)

epochs = st.integers(1, 2**63 - 1)
lanes = st.sampled_from(LANES)
sequences = st.integers(1, 2**40)
digests = st.binary(min_size=8, max_size=8)
times = st.integers(-(2**63), 2**63 - 1)
entries = st.builds(
    ReceiptEntry,
    epochs,
    lanes,
    sequences,
    sequences,
    digests,
    st.sampled_from(list(Status)),
    st.integers(0, 9),
)
credits_given = st.builds(Credit, st.just(4_000_000), st.just(300), st.sampled_from(Detail))
states = st.builds(
    StreamState,
    epochs,
    lanes,
    st.sampled_from([(), ((1, 5),), ((1, 5), (9, 2**40))]),
    st.one_of(st.just(b""), digests),
)
messages = st.one_of(
    st.builds(
        Resume,
        st.just(ADDRESS),
        st.binary(min_size=16, max_size=16),
        times,
        st.lists(st.builds(StreamQuestion, epochs, lanes), max_size=5).map(tuple),
        software=st.text(max_size=20),
    ),
    st.builds(
        Receipt,
        st.just(ADDRESS),
        digests,
        st.lists(entries, max_size=5).map(tuple),
        times,
        times,
        credits_given,
    ),
    st.builds(
        ResumeAnswer,
        st.just(ADDRESS),
        st.binary(min_size=16, max_size=16),
        digests,
        st.integers(1, 9),
        st.integers(0, 2**63 - 1),
        st.lists(states, max_size=5).map(tuple),
        times,
        times,
        times,
        credits_given,
    ),
    st.builds(Want, st.just(ADDRESS), digests, st.lists(states, max_size=5).map(tuple)),
    st.builds(Hold, st.just(ADDRESS), st.text(max_size=50), st.integers(0, 3600)),
    st.builds(DictionaryOffer, st.just(ADDRESS), st.binary(max_size=50), st.booleans()),
    st.builds(
        DictionaryAnswer,
        st.just(ADDRESS),
        digests,
        st.lists(st.tuples(digests, st.sampled_from(DictionaryStatus)), max_size=5).map(tuple),
    ),
)


@given(messages)
def test_a_sealed_message_opens_to_the_same_value(message: Message) -> None:
    opened = open_message(seal_message(message, KEY))
    opened.signed.verify(KEY.public)
    assert opened.message == message


def test_a_region_that_knows_of_less_detail_than_we_do_is_understood() -> None:
    receipt = Receipt(ADDRESS, b"g" * 8, (), 1, 2, CREDIT)
    kind, fields = cborform.load(open_message(seal_message(receipt, KEY)).signed.payload, "message")
    for said, heard in (
        (0, Detail.FULL),
        (1, Detail.SAMPLED),
        (2, Detail.SUMMARISED),
        (9, max(Detail)),
    ):
        data = cose.sign(cborform.dump([kind, {**fields, 21: said}]), KEY)
        opened = open_message(data).message
        assert isinstance(opened, Receipt)
        assert opened.credit.detail is heard
    with pytest.raises(RemoteProtocolError, match=r"detail \(key 21\) is -1"):
        open_message(cose.sign(cborform.dump([kind, {**fields, 21: -1}]), KEY))


def test_a_full_receipt_stays_under_ten_kilobytes() -> None:
    entry = ReceiptEntry(2**63 - 1, "normal", 2**40, 1_000, b"d" * 8, Status.COMMITTED)
    receipt = Receipt(ADDRESS, b"g" * 8, (entry,) * MAX_RECEIPT_ENTRIES, 1, 2, CREDIT)
    assert len(seal_message(receipt, KEY)) < 10_000


def _changed(message: Message, key: int, value: object) -> bytes:
    parts = cborform.load(cose.parse(seal_message(message, KEY)).payload, "message")
    parts[1][key] = value
    return cose.sign(cborform.dump(parts), KEY)


ENTRY = ReceiptEntry(5, "normal", 1, 500, b"d" * 8, Status.COMMITTED)
RECEIPT = Receipt(ADDRESS, b"g" * 8, (ENTRY,), 1, 2, CREDIT)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (2, 5),
        (3, "EU"),
        (7, b"short"),
        (9, [[1, 2, 3]]),
        (9, [[0, 2, 1, 1, b"d" * 8, 0]]),
        (9, [[5, 4, 1, 1, b"d" * 8, 0]]),
        (9, [[5, 2, 0, 1, b"d" * 8, 0]]),
        (9, [[5, 2, 1, 1, b"d" * 7, 0]]),
        (9, [[5, 2, 1, 1, b"d" * 8, 3]]),
        (9, [[5, 2, 1, 1, b"d" * 8, 0]] * (MAX_RECEIPT_ENTRIES + 1)),
        (11, 2**63),
        (13, -1),
        (14, "long"),
    ],
)
def test_a_receipt_that_breaks_a_rule_is_refused(key: int, value: object) -> None:
    with pytest.raises(RemoteProtocolError):
        open_message(_changed(RECEIPT, key, value))


@pytest.mark.parametrize(
    ("message", "key", "value"),
    [
        (DictionaryOffer(ADDRESS, b"packed"), 18, "text"),
        (DictionaryOffer(ADDRESS, b"packed"), 19, 1),
        (DictionaryAnswer(ADDRESS, b"g" * 8, ()), 7, b"short"),
        (DictionaryAnswer(ADDRESS, b"g" * 8, ()), 20, [[b"d" * 8]]),
        (DictionaryAnswer(ADDRESS, b"g" * 8, ()), 20, [[b"d" * 7, 0]]),
        (DictionaryAnswer(ADDRESS, b"g" * 8, ()), 20, [[b"d" * 8, 3]]),
        (
            DictionaryAnswer(ADDRESS, b"g" * 8, ()),
            20,
            [[b"d" * 8, 0]] * (MAX_DICTIONARIES_NAMED + 1),
        ),
    ],
)
def test_a_word_on_dictionaries_that_breaks_a_rule_is_refused(
    message: Message, key: int, value: object
) -> None:
    with pytest.raises(RemoteProtocolError):
        open_message(_changed(message, key, value))


def test_another_version_is_told_apart() -> None:
    with pytest.raises(UnsupportedVersionError):
        open_message(_changed(RECEIPT, 1, 2))


def test_a_resume_answer_of_a_newer_region_is_read() -> None:
    answer = ResumeAnswer(ADDRESS, b"n" * 16, b"g" * 8, 3, 0, (), 1, 2, 3, CREDIT)
    opened = open_message(seal_message(answer, KEY)).message
    assert isinstance(opened, ResumeAnswer)
    assert opened.version == 3


@pytest.mark.parametrize(
    "payload", [b"", b"\x80", cborform.dump([99, {}]), cborform.dump([16, []])]
)
def test_a_signed_payload_that_is_no_message_is_refused(payload: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        open_message(cose.sign(payload, KEY))


def test_a_message_too_long_for_a_payload_is_refused_before_it_is_sent() -> None:
    state = StreamState(1, "bulk", tuple((n * 4, n * 4 + 1) for n in range(1, 80_000)))
    with pytest.raises(LocalProtocolError, match="longer than"):
        seal_message(Want(ADDRESS, b"g" * 8, (state,)), KEY)
