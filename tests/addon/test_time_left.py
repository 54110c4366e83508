"""Estimates against numbers worked out by hand."""

from __future__ import annotations

import pytest


@pytest.fixture
def clock(addon):
    estimate = addon("time_left").TimeLeft(
        expected={"Loading": 8.0, "Sampling": 4.0, "Extracting": 1.0, "Simplifying": 1.0, "Texturing": 2.0}
    )
    estimate.begin(warm=False)
    return estimate


def test_before_the_first_word_the_whole_expected_time_is_left(clock):
    assert clock.seconds_left(0.0) == 16.0 and clock.overall() == 0.0


def test_a_warm_worker_does_not_load(clock):
    clock.begin(warm=True)
    assert clock.seconds_left(0.0) == 8.0
    clock.update("Sampling", 0.5, 2.0)
    assert clock.overall() == pytest.approx(2.0 / 8.0)


def test_a_stage_early_on_trusts_the_last_job_and_later_its_own_pace(clock):
    clock.update("Loading", 1.0, 8.0)
    clock.update("Sampling", 0.05, 8.5)
    assert clock.seconds_left(8.5) == pytest.approx(3.5 + 4.0)
    clock.update("Sampling", 0.5, 12.0)  # 4 s for the first half: 4 s more, and 4 s for what comes after
    assert clock.seconds_left(12.0) == pytest.approx(4.0 + 4.0)
    assert clock.overall() == pytest.approx((8.0 + 2.0) / 16.0)


def test_time_left_goes_on_between_two_messages_and_never_below_zero(clock):
    clock.update("Texturing", 0.0, 14.0)
    assert clock.seconds_left(15.0) < clock.seconds_left(14.5)
    assert clock.seconds_left(1000.0) == 0.0


def test_it_learns_from_a_finished_job(clock):
    clock.learn({"Sampling": 10.0, "Loading": 0.0, "Total": 99.0})
    clock.begin(warm=True)
    assert clock.seconds_left(0.0) == 14.0


def test_the_bar_never_goes_back_through_a_whole_job(clock):
    shares = []
    for number, stage in enumerate(("Loading", "Sampling", "Extracting", "Simplifying", "Texturing")):
        for fraction in (0.0, 0.4, 1.0):
            clock.update(stage, fraction, number + fraction)
            shares.append(clock.overall())
    assert shares == sorted(shares) and shares[-1] == 1.0


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.0, "1 s"), (12.4, "12 s"), (59.6, "1 min 0 s"), (80.0, "1 min 20 s")]
)
def test_durations_in_words(addon, seconds, words):
    assert addon("time_left").in_words(seconds) == words


def test_what_one_task_takes_says_nothing_about_another(addon):
    estimate = addon("time_left").TimeLeft()
    estimate.begin(warm=True, task="long")
    estimate.learn({"Extracting": 100.0})
    estimate.begin(warm=True, task="short")
    assert estimate.seconds_left(0.0) < 100.0
    estimate.begin(warm=True, task="long")
    assert estimate.seconds_left(0.0) > 100.0
