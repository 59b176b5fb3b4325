"""Bodies as zstd frames."""

import threading

import pytest
import zstandard

from whimbrel_protocol.words import PREFIX
from whimbrel_protocol.zstdcodec import (
    SMALL_BYTES,
    Level,
    compress,
    compress_with_words,
    decompress,
    decompress_with_words,
)

BODY = b"temperature humidity set_point battery_mv 21.5 48.2" * 3


def test_words_make_a_small_body_smaller() -> None:
    packed = compress_with_words(BODY)
    assert len(packed) < len(compress(BODY, []))
    assert decompress_with_words(packed, len(BODY)) == BODY


def test_a_body_with_words_does_not_come_back_without_them() -> None:
    packed = compress_with_words(PREFIX[:300])
    with pytest.raises(zstandard.ZstdError):
        decompress(packed, 300)


def test_any_zstd_reads_what_refers_to_the_words() -> None:
    words = zstandard.ZstdCompressionDict(PREFIX, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    plain = zstandard.ZstdDecompressor(dict_data=words)
    framed = b"\x28\xb5\x2f\xfd" + compress_with_words(BODY)
    assert plain.decompress(framed, max_output_size=len(BODY)) == BODY


def test_an_inner_size_that_is_not_the_declared_one_is_refused() -> None:
    sized = zstandard.ZstdCompressor().compress(BODY)[4:]
    assert decompress(sized, len(BODY)) == BODY
    with pytest.raises(ValueError, match="inner size"):
        decompress(sized, len(BODY) + 1)


def test_threads_that_compress_at_once_get_their_own_bytes() -> None:
    bodies = [bytes([number]) * (SMALL_BYTES // 2 * (number % 3 + 1)) for number in range(12)]
    wanted = [compress(body, []) for body in bodies]
    found: list[bytes | None] = [None] * len(bodies)

    def work(number: int) -> None:
        for _ in range(50):
            found[number] = compress(bodies[number], [])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(bodies))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == wanted


@pytest.mark.parametrize("level", Level)
def test_every_level_comes_back_with_and_without_cuts(level: Level) -> None:
    body = bytes(number * number % 251 for number in range(3 * SMALL_BYTES))
    for cuts in ([], [100, 5000]):
        assert decompress(compress(body, cuts, level), len(body)) == body


def test_a_small_body_is_the_same_at_every_level() -> None:
    assert len({compress(BODY, [], level) for level in Level}) == 1
