"""Diffusion models as critics of rendered pictures: they say how the pictures should change."""
