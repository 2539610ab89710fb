"""ABX and its alignment in time, on cases that can be counted by hand."""

import itertools
import math

import numpy as np
import pytest

from codeclm.evaluation import abx


def slow_dtw(cost):
    """The mean cost of the cheapest path, by trying all of them."""

    def paths(i, j):
        if i == j == 0:
            yield [cost[0, 0]]
        for a, b in ((i - 1, j - 1), (i - 1, j), (i, j - 1)):
            if a >= 0 and b >= 0:
                for path in paths(a, b):
                    yield [*path, cost[i, j]]

    best = min(paths(cost.shape[0] - 1, cost.shape[1] - 1), key=sum)
    return sum(best) / len(best)


def test_angles():
    a = np.array([[1.0, 0], [0, 2], [-3, 0], [0, 0]])
    assert abx.angle(a, a[:1])[:, 0] == pytest.approx([0, 0.5, 1, 0.5])


def test_hamming():
    a = np.array([[1, 2], [1, 3]])
    assert abx.hamming(a, np.array([[1, 3]]))[:, 0].tolist() == [0.5, 0]


def test_dtw_is_the_cheapest_path():
    draw = np.random.default_rng(0)
    costs = [draw.random((i, j)) for i, j in itertools.product((1, 3, 5), (1, 4, 5))]
    assert abx.dtw(costs) == pytest.approx([slow_dtw(cost) for cost in costs])


def test_a_sound_and_its_slower_self_are_no_distance_apart():
    frames = np.eye(4)[[0, 1, 2, 3]]
    slower = np.eye(4)[[0, 0, 1, 1, 1, 2, 3, 3]]
    far = abx.distances([frames, slower, frames[::-1]], abx.angle)
    assert far[0, 1] == far[1, 0] == 0
    assert far[0, 2] > 0


def test_many_distances_are_those_of_each_two():
    draw = np.random.default_rng(1)
    sounds = [draw.normal(size=(int(n), 3)) for n in draw.integers(1, 9, size=14)]
    far = abx.distances(sounds, abx.angle)  # more than one batch
    for a, b in itertools.combinations(range(len(sounds)), 2):
        cost = abx.angle(sounds[max(a, b)], sounds[min(a, b)])
        assert far[a, b] == pytest.approx(abx.dtw([cost])[0])


def test_error_counts_triples():
    words, voices = ["a", "b", "a", "b"], ["x", "x", "y", "y"]
    far = np.array([[0, 9, 1, 2], [9, 0, 3, 4], [1, 3, 0, 9], [2, 4, 9, 0]], dtype=float)
    # a of y: nearer to a of x (1) than to b of x (3): right; b of y: 4 to b, 2 to a: wrong;
    # a of x: 1 to a of y, 2 to b of y: right; b of x: 4 to b, 3 to a: wrong.
    assert abx.error(far, words, voices) == 0.5
    far[1, 3] = far[3, 1] = 3  # b of x: 3 to b, 3 to a: a tie; b of y: still wrong
    assert abx.error(far, words, voices) == pytest.approx((0 + 0 + 1 + 0.5) / 4)


def test_error_is_that_of_all_triples_one_by_one():
    draw = np.random.default_rng(2)
    words, voices = list("aabbab"), list("xyxyyx")
    far = draw.random((6, 6))
    far += far.T
    lost: dict[tuple[str, str, str], list[bool]] = {}
    for i, j, k in itertools.permutations(range(6), 3):
        if words[i] == words[k] != words[j] and voices[i] == voices[j] != voices[k]:
            key = (words[i], voices[i], voices[k])
            lost.setdefault(key, []).append(bool(far[i, k] > far[j, k]))
    expected = np.mean([np.mean(each) for each in lost.values()])
    assert abx.error(far, words, voices) == pytest.approx(expected)


def test_chance_and_certainty():
    words = ["a"] * 20 + ["b"] * 20
    voices = [f"{n % 4}" for n in range(40)]
    points = np.random.default_rng(3).normal(size=(40, 2))
    far = np.linalg.norm(points[:, None] - points[None], axis=-1)
    assert abx.error(far, words, voices) == pytest.approx(0.5, abs=0.1)
    points[:20] += 100
    far = np.linalg.norm(points[:, None] - points[None], axis=-1)
    assert abx.error(far, words, voices) == 0
    assert abx.error(np.zeros((40, 40)), words, voices) == 0.5


def test_one_voice_needs_two_recordings():
    assert abx.error(np.zeros((2, 2)), ["a", "b"], ["x", "x"]) is None
    far = np.array([[0, 1, 5], [1, 0, 2], [5, 2, 0]], dtype=float)
    assert abx.error(far, ["a", "a", "b"], ["x"] * 3) == 0
    assert not math.isnan(abx.error(far, ["a", "b", "b"], ["x"] * 3))
