"""The CDDL grammar holds for every golden vector, judged by a validator that is not ours."""

import json
from pathlib import Path

import pytest
from pycddl import Schema, ValidationError

PROTOCOL = Path(__file__).parents[2] / "protocol"
GRAMMAR = (PROTOCOL / "whimbrel.cddl").read_text()
VECTORS = sorted((PROTOCOL / "vectors").glob("[fm]*s/*.json"))


def _payload(path: Path) -> bytes:
    vector = json.loads(path.read_text())
    return _inner(bytes.fromhex(vector.get("frame") or vector["message"]))


def _inner(message: bytes) -> bytes:
    """Take the payload out by the byte table of the specification, not by our code."""
    head = message[17]
    size_bytes = {0x58: 1, 0x59: 2, 0x5A: 4}.get(head, 0)
    return message[18 + size_bytes : -66]


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_a_vector_is_valid_under_the_grammar(path: Path) -> None:
    rule = "frame" if path.parent.name == "frames" else path.name.partition(".")[0]
    Schema(f"start = {rule}\n{GRAMMAR}").validate_cbor(_payload(path))


def test_the_grammar_refuses_a_changed_payload() -> None:
    path = PROTOCOL / "vectors" / "messages" / "receipt.json"
    with pytest.raises(ValidationError):
        Schema(f"start = resume\n{GRAMMAR}").validate_cbor(_payload(path))


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_the_envelope_is_the_one_of_the_grammar(path: Path) -> None:
    vector = json.loads(path.read_text())
    data = bytes.fromhex(vector.get("frame") or vector["message"])
    assert data[:8].hex() == "d2844da201270448"
    assert data[16] == 0xA0
    assert data[-66:-64].hex() == "5840"
