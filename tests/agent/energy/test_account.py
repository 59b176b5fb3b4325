"""The radio's account, and that it agrees with the model's own sum over gaps."""

from __future__ import annotations

import itertools
import random

import pytest

from whimbrel_agent.energy.account import RadioAccount
from whimbrel_agent.energy.model import Costs, RadioCost, energy_of, gap_j

TAIL_S = 10.0


def test_uses_within_the_tail_only_extend_it() -> None:
    account = RadioAccount(tail_s=TAIL_S)
    for now_s in (100.0, 104.0, 109.0):
        account.sent(50, now_s)
    work = account.work(112.0)
    assert (work.radio_wakes, work.radio_awake_s) == (1, 12.0)
    assert account.work(500.0).radio_awake_s == 19.0
    account.received(20, 600.0)
    work = account.work(601.0)
    assert (work.radio_wakes, work.radio_awake_s) == (2, 20.0)
    assert (work.bytes_up, work.bytes_down, work.frames) == (150, 20, 4)


def test_before_anything_was_sent_nothing_was_used() -> None:
    work = RadioAccount(tail_s=TAIL_S, keepalive_s=60).work(1e6)
    assert (work.radio_wakes, work.radio_awake_s, work.keepalive_wakes) == (0, 0.0, 0)


def test_a_silent_link_is_kept_alive() -> None:
    account = RadioAccount(tail_s=TAIL_S, keepalive_s=60)
    account.linked(0.0)
    work = account.work(3605.0)
    assert (work.keepalive_wakes, work.keepalive_awake_s) == (60, 59 * 10.0 + 5.0)
    assert (work.radio_wakes, work.radio_awake_s) == (61, 61 * 10.0 - 5.0)


def test_looking_often_or_once_gives_the_same() -> None:
    often, once = (RadioAccount(tail_s=TAIL_S, keepalive_s=60) for _ in range(2))
    often.linked(0.0)
    once.linked(0.0)
    for second in range(0, 7300, 7):
        often.work(float(second))
    assert often.work(7300.0) == once.work(7300.0)


def test_a_link_that_is_gone_is_not_kept_alive() -> None:
    account = RadioAccount(tail_s=TAIL_S, keepalive_s=60)
    account.linked(0.0)
    account.unlinked(90.0)
    assert account.work(9000.0).keepalive_wakes == 1


def test_a_keep_alive_shorter_than_the_tail_never_lets_the_radio_sleep() -> None:
    account = RadioAccount(tail_s=TAIL_S, keepalive_s=5)
    account.linked(0.0)
    work = account.work(1000.0)
    assert (work.radio_wakes, work.radio_awake_s) == (1, 1000.0)
    assert work.keepalive_awake_s == pytest.approx(995.0)


@pytest.mark.parametrize("seed", range(20))
def test_it_agrees_with_the_models_sum_over_gaps(seed: int) -> None:
    source = random.Random(seed)
    radio = RadioCost(promotion_j=0.31, tail_s=TAIL_S, tail_w=1.1)
    account = RadioAccount(tail_s=TAIL_S)
    times = sorted(source.uniform(0, 3000) for _ in range(source.randrange(1, 200)))
    for now_s in times:
        account.sent(1, now_s)
        if source.random() < 0.3:
            account.work(now_s)
    by_gaps = radio.promotion_j + sum(gap_j(radio, b - a) for a, b in itertools.pairwise(times))
    by_gaps += radio.tail_w * radio.tail_s
    joules = energy_of(account.work(1e5), Costs(idle_w=0, radio=radio))
    assert joules.radio == pytest.approx(by_gaps)
