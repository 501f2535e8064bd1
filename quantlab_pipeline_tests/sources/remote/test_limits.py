"""Budgets of a venue: never more than our share of a window, and its own word above our count."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab_pipeline.sources.remote.http import BannedError
from quantlab_pipeline.sources.remote.limits import Budget, Window, shared_budget
from quantlab_pipeline_tests.sources.remote.rest_server import Watch

WEIGHT = Window("weight", 100, 60.0, "x-mbx-used-weight-1m")
CALLS = Window("calls", 10, 300.0)


def budget(watch: Watch, share: float = 1.0) -> Budget:
    return Budget("venue", (WEIGHT, CALLS), clock=watch, sleep=watch.sleep, share=share)


def spend(of: Budget, **costs: int) -> None:
    with of.request(costs):
        pass


def test_what_fits_does_not_wait_and_is_counted():
    watch = Watch()
    of = budget(watch)
    for _ in range(10):
        spend(of, weight=10)
    usage = of.usage()
    assert (usage.requests, usage.spent["weight"], usage.used["weight"]) == (10, 100, 100)
    assert (usage.waits, watch.slept) == (0, [])


def test_a_full_window_waits_until_enough_of_it_is_old():
    watch = Watch()
    of = budget(watch)
    spend(of, weight=40)
    watch.now_s += 20
    spend(of, weight=60)
    spend(of, weight=30)
    assert watch.slept == [pytest.approx(40.0)]
    assert of.usage().used["weight"] == 90
    assert (of.usage().waits, of.usage().waited_s) == (1, pytest.approx(40.0))


def test_only_our_share_of_a_limit_is_used():
    watch = Watch()
    of = budget(watch, share=0.5)
    spend(of, weight=50)
    spend(of, weight=1)
    assert watch.slept == [pytest.approx(60.0)]


def test_a_request_must_fit_into_every_window_that_it_costs():
    watch = Watch()
    of = budget(watch)
    for _ in range(10):
        spend(of, calls=1)
    spend(of, weight=100)
    assert watch.slept == []
    spend(of, calls=1)
    assert watch.slept == [pytest.approx(300.0)]


def test_the_venue_s_word_replaces_our_count_both_ways():
    watch = Watch()
    of = budget(watch)
    spend(of, weight=10)
    of.hear({"x-mbx-used-weight-1m": "95"})
    assert of.usage().used["weight"] == 95
    spend(of, weight=10)
    assert watch.slept == [pytest.approx(60.0)]
    of.hear({"x-mbx-used-weight-1m": "2"})
    spend(of, weight=98)
    assert len(watch.slept) == 1


@pytest.mark.parametrize("said", ["", "many", "-5", "1e9", "٣"])
def test_a_word_that_is_no_number_is_not_heard(said):
    of = budget(Watch())
    spend(of, weight=10)
    of.hear({"x-mbx-used-weight-1m": said, "x-other": "99"})
    assert of.usage().used == {"weight": 10, "calls": 0}


def test_a_request_larger_than_the_window_waits_for_an_empty_one_and_goes():
    watch = Watch()
    of = budget(watch, share=0.1)
    spend(of, weight=50)
    spend(of, weight=50)
    assert watch.slept == [pytest.approx(60.0)]


def test_after_a_ban_nothing_is_asked_any_more():
    of = budget(Watch())
    with pytest.raises(BannedError), of.request({"weight": 1}):
        raise BannedError("banned", "wait")
    entered = False
    with pytest.raises(BannedError, match="nothing more is asked"), of.request({"weight": 1}):
        entered = True
    assert not entered
    assert of.usage().requests == 1


def test_all_who_ask_one_host_share_its_budget():
    watch = Watch()

    def of(host: str) -> Budget:
        return shared_budget(host, (WEIGHT,), clock=watch, sleep=watch.sleep)

    assert of("shared.example") is of("shared.example")
    assert of("shared.example") is not of("other.example")


def test_threads_together_stay_within_the_window():
    watch = Watch()
    of = budget(watch)
    threads = [threading.Thread(target=lambda: spend(of, weight=10)) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert of.usage().used["weight"] == 100
    assert watch.slept == []


@given(
    st.lists(
        st.tuples(st.integers(1, 60), st.floats(0, 30, allow_nan=False)), min_size=1, max_size=40
    )
)
def test_no_window_of_any_phase_ever_holds_more_than_the_limit(asked):
    watch = Watch()
    of = budget(watch)
    went: list[tuple[float, int]] = []
    for cost, pause_s in asked:
        spend(of, weight=cost)
        went.append((watch.now_s, cost))
        watch.now_s += pause_s
    for at_s, _ in went:
        held = sum(cost for other_s, cost in went if at_s - 60.0 < other_s - 1e-6 <= at_s)
        assert held <= 100
