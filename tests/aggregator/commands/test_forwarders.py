from __future__ import annotations

from whimbrel_aggregator.commands.forwarders import breaker_text


def test_an_open_breaker_says_when_the_next_probe_goes() -> None:
    assert breaker_text({"breaker": "open", "retry_in_s": 12.4}) == "open, probe in 12 s"
    assert breaker_text({"breaker": "closed", "retry_in_s": 0.0}) == "closed"
    assert breaker_text({"breaker": None, "retry_in_s": 0.0}) == ""
