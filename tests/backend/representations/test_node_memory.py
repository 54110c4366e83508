"""Nodes are asked for once, other places every time, and the answers are the function's own."""

from __future__ import annotations

import numpy as np

from backend.representations.node_memory import NodeMemory


def distance(places: np.ndarray) -> np.ndarray:
    return np.linalg.norm(places, axis=1).astype(np.float32)


def test_what_was_asked_before_is_not_asked_again_and_comes_back_the_same():
    asked: list[np.ndarray] = []

    def ask(places: np.ndarray) -> np.ndarray:
        asked.append(places)
        return distance(places)

    memory = NodeMemory(ask)
    generator = np.random.default_rng(0)
    first, second = (generator.integers(0, 129, (500, 3)) / 64 - 1 for _ in range(2))
    elsewhere = generator.uniform(-1, 1, (20, 3))
    for places in (first, np.concatenate([second, elsewhere, first]), np.empty((0, 3))):
        np.testing.assert_array_equal(memory(places), distance(places))
    before = {tuple(place) for place in first}
    assert len(asked) == 2 and not before & {tuple(place) for place in asked[1]}
    np.testing.assert_array_equal(memory(elsewhere), distance(elsewhere))
    assert len(asked) == 3


def test_places_beyond_model_space_are_no_nodes():
    memory = NodeMemory(distance)
    inside, beyond = np.array([[-1.0, -1.0, -1.0]]), np.array([[-1.0, -1.0, 513 / 256 - 1 + 2]])
    for places in (inside, beyond, inside):
        np.testing.assert_array_equal(memory(places), distance(places))
