"""COSE_Sign1, checked against a library that is not ours."""

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycose.keys.curves import Ed25519
from pycose.keys.okp import OKPKey
from pycose.messages.sign1message import Sign1Message

from whimbrel_protocol import cose
from whimbrel_protocol.errors import RemoteProtocolError
from whimbrel_protocol.keys import BadSignatureError, PrivateKey
from whimbrel_protocol.limits import MAX_PAYLOAD_BYTES

KEY = PrivateKey(bytes(range(32)))
SIZES = [1, 23, 24, 255, 256, 65_535, 65_536, 119_000]


@pytest.mark.parametrize("size", SIZES)
def test_what_was_signed_is_parsed_and_verified(size: int) -> None:
    payload = bytes(size)
    signed = cose.parse(cose.sign(payload, KEY))
    assert signed.payload == payload
    assert signed.key_id == KEY.public.key_id
    signed.verify(KEY.public)


@pytest.mark.parametrize("size", SIZES)
def test_an_unrelated_cose_library_verifies_it(size: int) -> None:
    tagged = cbor2.loads(cose.sign(b"\x07" * size, KEY))
    assert tagged.tag == Sign1Message.cbor_tag
    protected, unprotected, payload, signature = tagged.value  # pycose wants mutable kinds
    message = Sign1Message.from_cose_obj(
        [protected, dict(unprotected), payload, signature], allow_unknown_attributes=True
    )
    message.key = OKPKey(crv=Ed25519, x=KEY.public.raw)
    assert message.verify_signature()
    assert message.payload == b"\x07" * size


def test_another_key_does_not_verify_it() -> None:
    with pytest.raises(BadSignatureError):
        cose.parse(cose.sign(b"payload", KEY)).verify(PrivateKey(bytes(32)).public)


@given(st.data())
def test_a_flipped_bit_is_never_taken_for_the_message(data: st.DataObject) -> None:
    message = bytearray(cose.sign(b"sale of two lanterns", KEY))
    bit = data.draw(st.integers(0, len(message) * 8 - 1))
    message[bit // 8] ^= 1 << bit % 8
    try:
        signed = cose.parse(bytes(message))
    except RemoteProtocolError:
        return
    if signed.key_id != KEY.public.key_id:
        return  # names another key: the receiver will not find it
    with pytest.raises(BadSignatureError):
        signed.verify(KEY.public)


def test_a_second_form_of_the_same_message_is_refused() -> None:
    good = cose.sign(b"x" * 30, KEY)
    start = good.index(b"\x58\x1e")
    longer_length = good[:start] + b"\x59\x00\x1e" + good[start + 2 :]
    unprotected = good[: start - 1] + b"\xa1\x05\x41\x00" + good[start:]
    trailing = good + b"\x00"
    for form in (longer_length, unprotected, trailing, good[1:]):
        with pytest.raises(RemoteProtocolError):
            cose.parse(form)


def test_a_message_longer_than_a_payload_may_be_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="longer than"):
        cose.parse(cose.sign(bytes(MAX_PAYLOAD_BYTES), KEY))


@given(st.binary(max_size=300))
def test_any_bytes_end_in_a_message_or_a_protocol_error(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        cose.parse(data)
