"""Keys."""

import pytest

from whimbrel_protocol.errors import LocalProtocolError
from whimbrel_protocol.keys import BadSignatureError, PrivateKey, PublicKey

# RFC 8032 section 7.1, test 2.
SEED = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
PUBLIC = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
SIGNATURE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)


def test_signatures_are_those_of_rfc_8032() -> None:
    key = PrivateKey(SEED)
    assert key.public.raw == PUBLIC
    assert key.sign(b"\x72") == SIGNATURE
    key.public.verify(b"\x72", SIGNATURE)


def test_another_message_or_signature_is_refused() -> None:
    key = PublicKey(PUBLIC)
    for message, signature in [
        (b"\x73", SIGNATURE),
        (b"\x72", SIGNATURE[:-1] + b"\x01"),
        (b"\x72", SIGNATURE[:63]),
        (b"\x72", b""),
    ]:
        with pytest.raises(BadSignatureError):
            key.verify(message, signature)


def test_a_public_key_comes_back_from_its_text() -> None:
    assert PublicKey.from_text(PublicKey(PUBLIC).to_text() + "\n") == PublicKey(PUBLIC)


@pytest.mark.parametrize("text", ["", "abc", "!!!!", "YWJj"])
def test_a_text_that_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(LocalProtocolError):
        PublicKey.from_text(text)


def test_a_seed_of_another_size_is_refused() -> None:
    with pytest.raises(LocalProtocolError):
        PrivateKey(b"short")


def test_the_seed_never_shows() -> None:
    assert SEED.hex() not in repr(PrivateKey(SEED))
