"""FSQ codes and their levels undo each other, and every code is legal."""

import torch

from codeclm.codecs.house.fsq import FSQ
from codeclm.codecs.levels import code_to_levels, level_to_point, levels_to_code

LEVELS = (8, 7, 6, 6)


def test_every_code_survives_the_round_trip():
    codes = torch.arange(2016)
    index = code_to_levels(codes, LEVELS)
    assert (index.amax(0) == torch.tensor(LEVELS) - 1).all()
    assert (index >= 0).all()
    assert torch.equal(levels_to_code(index, LEVELS), codes)


def test_the_radix_is_written_out_right():
    assert code_to_levels(torch.tensor(8 * 7 * 6 * 2 + 8 * 7 * 1 + 8 * 5 + 3), LEVELS).tolist() == [
        3,
        5,
        1,
        2,
    ]


def test_points_span_minus_one_to_one():
    low, high = torch.tensor([0, 0, 0, 0]), torch.tensor([7, 6, 5, 5])
    assert level_to_point(low, LEVELS).tolist() == [-1.0] * 4
    assert level_to_point(high, LEVELS).tolist() == [1.0] * 4


def test_quantizer_gives_the_points_of_its_codes():
    fsq = FSQ(3, LEVELS)
    z = torch.randn(2, 5, 12) * 3
    assert torch.allclose(fsq(z), fsq.points(fsq.codes(z)), atol=1e-6)
    assert fsq.codes(z).shape == (2, 3, 5)


def test_gradients_pass_straight_through_the_rounding():
    z = torch.zeros(1, 1, 4, requires_grad=True)
    FSQ(1, LEVELS)(z).sum().backward()
    middle = (torch.tensor(LEVELS) - 1) / 2
    assert torch.allclose(z.grad[0, 0], (middle + 0.499) / middle)
