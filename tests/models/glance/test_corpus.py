"""Bags of hashed texts."""

from __future__ import annotations

import numpy as np

from stonechat_agent.scoring.judging import hashing
from train.glance.corpus import Bag, hashed

TEXTS = [np.array([5, 6, 7], np.int32), np.zeros(0, np.int32), np.arange(100, dtype=np.int32)]


def test_texts_come_in_the_order_in_which_they_are_taken() -> None:
    values, here, whole = Bag.of(TEXTS).take(np.array([2, 0, 1, 0]), 2, None)
    np.testing.assert_array_equal(here, [100, 3, 0, 3])
    np.testing.assert_array_equal(whole, here)
    np.testing.assert_array_equal(values, [*range(100), 5, 6, 7, 5, 6, 7])


def test_of_long_texts_a_part_is_drawn() -> None:
    bag = Bag.of(TEXTS)
    values, here, whole = bag.take(np.array([0, 2]), 10, np.random.default_rng(0))
    np.testing.assert_array_equal(here, [3, 10])
    np.testing.assert_array_equal(whole, [3, 100])
    np.testing.assert_array_equal(values[:3], [5, 6, 7])
    drawn = [bag.take(np.array([2]), 10, np.random.default_rng(seed))[0] for seed in range(200)]
    # Every part of the text has its turn.
    assert set(np.concatenate(drawn).tolist()) == set(range(100))


def test_a_part_of_the_texts_is_a_bag_of_its_own() -> None:
    texts = hashed([("a", "one"), ("", "two words"), ("c", "three")], hashing.Spec())
    some = texts.at(np.array([2, 1]))
    assert len(some) == 2
    for new, old in ((0, 2), (1, 1)):
        for name, values in texts.fed(old).items():
            np.testing.assert_array_equal(some.fed(new)[name], values)
