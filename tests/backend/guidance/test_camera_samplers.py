from __future__ import annotations

import math

import torch

from backend.guidance.camera_samplers import apart_from, orbits
from backend.representations.cameras import RADIUS, Cameras


def test_orbits_see_all_sides() -> None:
    cameras = orbits(4, lowest=0.1, highest=0.4)(torch.Generator().manual_seed(0))
    gaps = torch.sort(cameras.azimuth % (2 * math.pi)).values.diff()
    torch.testing.assert_close(gaps, torch.full((3,), math.pi / 2), rtol=0, atol=1e-5)
    assert cameras.elevation.min() >= 0.1 and cameras.elevation.max() <= 0.4
    assert (cameras.radius == RADIUS).all()
    other = orbits(4)(torch.Generator().manual_seed(1))
    assert not torch.allclose(other.azimuth, cameras.azimuth)


def test_cameras_keep_away_from_those_that_were_used() -> None:
    seen = Cameras.framing(torch.linspace(0, 5, 6), torch.full((6,), 0.2))
    draw = apart_from(seen, 3, least=math.radians(20))
    for seed in range(5):
        cameras = draw(torch.Generator().manual_seed(seed))
        assert len(cameras) == 3
        angles = (cameras.outward @ seen.outward.T).clamp(-1, 1).arccos().min(dim=1).values
        assert (angles >= math.radians(20) - 1e-3).all()


def test_where_none_is_far_enough_the_farthest_is_taken() -> None:
    seen = Cameras.framing(torch.tensor([0.0]), torch.tensor([0.0]))
    cameras = apart_from(seen, 1, least=math.pi)(torch.Generator().manual_seed(0))
    assert cameras.outward[0] @ seen.outward[0] < -0.9
