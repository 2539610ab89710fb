"""The phoneme probe on mappings that are known."""

import numpy as np
import pytest
import torch

from codeclm.evaluation import probe


def test_codes_that_name_the_label_give_all_of_it() -> None:
    labels = np.random.default_rng(0).integers(5, size=400)
    codes = 3 * labels + np.random.default_rng(1).integers(3, size=400)
    assert (probe.fit(codes, labels, 15)[codes] == labels).all()


def test_unseen_codes_get_the_commonest_label() -> None:
    answer = probe.fit(np.array([0, 0, 0, 2, 2]), np.array([1, 1, 0, 3, 1]), 4)
    assert answer.tolist() == [1, 1, 1, 1]
    with pytest.raises(ValueError, match="no aligned frames"):
        probe.fit(np.zeros(0, np.int64), np.zeros(0, np.int64), 4)


def test_it_is_what_a_trained_linear_classifier_finds() -> None:
    draw = np.random.default_rng(0)
    codes = draw.integers(6, size=600)
    labels = (codes + (draw.random(600) < 0.3)) % 4
    logits = torch.zeros(6, 4, requires_grad=True)
    for _ in range(100):
        loss = torch.nn.functional.cross_entropy(logits[codes], torch.from_numpy(labels))
        (slope,) = torch.autograd.grad(loss, logits)
        logits = (logits - 5 * slope).detach().requires_grad_()
    assert logits.argmax(1).tolist() == probe.fit(codes, labels, 6).tolist()


def test_names_of_sounds() -> None:
    tokens = ("ˈaɪ", "ˌuː", "t", ".", "<sil>", "<pad>", "?")
    assert [probe.phoneme(token) for token in tokens] == ["aɪ", "uː", "t", *["<sil>"] * 4]


def test_labels_of_frames() -> None:
    labels = probe.frame_labels([2, 0, 1], [1, 0, 3], [10, 11, 12], 4)
    assert labels.tolist() == [12, 11, 11, 11]
    assert probe.frame_labels([2, 1], [2, 2], [10, 11, 12], 2).tolist() == [12, 11]
    assert probe.frame_labels([2, 1], [1, 1], [10, 11, 12], 4).tolist() == [12, 12, 11, 11]
