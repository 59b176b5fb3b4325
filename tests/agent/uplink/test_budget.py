"""A month's bytes, counted ahead."""

from __future__ import annotations

from whimbrel_agent.uplink.budget import MIN_BLOCK_BYTES, Budget, Spent

LIMIT = 10_000_000


def test_what_is_sent_is_less_left() -> None:
    budget = Budget("lte", LIMIT)
    budget.at(100)
    budget.sent(1_000)
    assert budget.left_bytes == LIMIT - 1_000


def test_a_block_is_durable_before_its_first_byte_and_no_more_for_the_rest() -> None:
    budget = Budget("lte", LIMIT)
    budget.at(100)
    budget.sent(1_000)
    assert budget.to_reserve() == Spent("lte", 100, MIN_BLOCK_BYTES)
    budget.sent(MIN_BLOCK_BYTES - 1_000)
    assert budget.to_reserve() is None
    budget.sent(3 * MIN_BLOCK_BYTES)
    assert budget.to_reserve() == Spent("lte", 100, 4 * MIN_BLOCK_BYTES)


def test_a_crash_counts_its_whole_block_and_never_too_little() -> None:
    spent = None
    truly = 0
    for _ in range(20):  # twenty processes that are killed
        budget = Budget("lte", LIMIT, spent)
        budget.at(100)
        for _ in range(10):
            budget.sent(10_000)
            truly += 10_000
            spent = budget.to_reserve() or spent
    assert spent is not None
    assert truly <= spent.size_bytes <= truly + 20 * MIN_BLOCK_BYTES


def test_an_orderly_stop_leaves_the_exact_count() -> None:
    budget = Budget("lte", LIMIT)
    budget.at(100)
    budget.sent(1_000)
    budget.to_reserve()
    again = Budget("lte", LIMIT, budget.exact())
    assert again.left_bytes == LIMIT - 1_000


def test_a_new_month_begins_at_zero_and_a_clock_that_goes_back_forgives_nothing() -> None:
    budget = Budget("lte", LIMIT, Spent("lte", 100, LIMIT))
    budget.at(100)
    assert budget.left_bytes == 0
    budget.at(0)
    budget.at(99)
    assert budget.left_bytes == 0
    budget.at(100)
    assert budget.left_bytes == LIMIT


def test_the_first_month_keeps_what_was_sent_while_the_clock_was_unknown() -> None:
    budget = Budget("lte", LIMIT)
    budget.at(0)
    budget.sent(1_000)
    budget.at(100)
    assert budget.left_bytes == LIMIT - 1_000
