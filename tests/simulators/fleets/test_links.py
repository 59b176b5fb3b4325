from __future__ import annotations

from whimbrel_sim.fleets.links import GOOD_LINK, Door, Link, Way


def test_two_links_at_once_do_what_both_do() -> None:
    slow = Link(up=Way(delay_s=0.25, bytes_per_s=1000), door=Door.CAPTIVE)
    lossy = Link(up=Way(delay_s=0.5, loss=0.5, bytes_per_s=500), door=Door.OPEN)
    both = slow.joined(lossy)
    assert both.up == Way(delay_s=0.75, loss=0.5, bytes_per_s=500)
    assert both.door is Door.CAPTIVE
    assert both.down == GOOD_LINK.down


def test_chances_combine_and_never_pass_one() -> None:
    assert Way(flip=0.5).joined(Way(flip=0.5)).flip == 0.75
    assert Way(loss=1.0).joined(Way(loss=1.0)).loss == 1.0
