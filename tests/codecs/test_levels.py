"""FSQ codes and their levels undo each other, and every code is legal."""

import torch

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
