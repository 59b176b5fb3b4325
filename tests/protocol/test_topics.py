"""The topic grammar."""

import pytest

from whimbrel_protocol import topics
from whimbrel_protocol.errors import RemoteProtocolError
from whimbrel_protocol.limits import MAX_TOPIC_BYTES, MAX_TOPIC_SLASHES
from whimbrel_protocol.names import Address

ADDRESS = Address(tenant="acme", region="eu-1", store="store-12", device="till-3")
LONGEST = Address(tenant="t" * 32, region="r" * 32, store="s" * 32, device="d" * 32)


@pytest.mark.parametrize("replay", [False, True])
def test_a_frame_topic_parses_back(replay: bool) -> None:
    topic = topics.frame_topic(ADDRESS, "normal", replay=replay)
    parsed = topics.parse_up(topic)
    assert parsed == topics.UpTopic(
        "acme", ADDRESS.partition, "store-12", "till-3", "normal", replay
    )


def test_resume_and_birth_topics_parse_back() -> None:
    resume = topics.parse_up(topics.resume_topic(ADDRESS))
    assert isinstance(resume, topics.UpTopic)
    assert resume.kind == topics.RESUME
    dictionary = topics.parse_up(topics.dictionary_topic(ADDRESS))
    assert isinstance(dictionary, topics.UpTopic)
    assert dictionary.kind == topics.DICTIONARY
    birth = topics.parse_up(topics.birth_topic(ADDRESS))
    assert birth == topics.BirthTopic("acme", "store-12", "till-3")


@pytest.mark.parametrize("kind", topics.DOWN_KINDS)
def test_a_down_topic_parses_back(kind: str) -> None:
    parsed = topics.parse_down(topics.down_topic("acme", "store-12", "till-3", kind))
    assert parsed == topics.DownTopic("acme", "store-12", "till-3", kind)


def test_the_longest_names_stay_within_broker_limits() -> None:
    for topic in (
        topics.frame_topic(LONGEST, "critical", replay=True),
        topics.resume_topic(LONGEST),
        topics.birth_topic(LONGEST),
        topics.down_topic(LONGEST.tenant, LONGEST.store, LONGEST.device, "receipt"),
    ):
        assert len(topic.encode()) <= MAX_TOPIC_BYTES
        assert topic.count("/") <= MAX_TOPIC_SLASHES


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "wb/1/live/acme/9/store-12/till-3",
        "wb/2/live/acme/9/store-12/till-3/normal",
        "wb/1/live/acme/9/store-12/till-3/urgent",
        "wb/1/live/acme/3/store-12/till-3/normal",
        "wb/1/live/acme/09/store-12/till-3/normal",
        "wb/1/live/Acme/2/store-12/till-3/normal",
        "wb/1/live/acme/9/store-12/till 3/normal",
        "wb/1/live/acme/9/store-12/till-3/normal/x",
        "wb/1/birth/acme/store-12",
        "x" * 300,
    ],
)
def test_a_topic_outside_the_grammar_is_refused(topic: str) -> None:
    with pytest.raises(RemoteProtocolError):
        topics.parse_up(topic)
    with pytest.raises(RemoteProtocolError):
        topics.parse_down(topic)


def test_a_part_of_the_partitions_gets_one_filter_per_mode_and_partition() -> None:
    assert topics.up_filters(frozenset({2, 1})) == [
        "wb/1/live/+/1/#",
        "wb/1/live/+/2/#",
        "wb/1/replay/+/1/#",
        "wb/1/replay/+/2/#",
        "wb/1/birth/+/+/+",
    ]
    assert topics.up_filters() == topics.up_filters(frozenset(range(64)))
