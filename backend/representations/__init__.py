"""Representations of a shape that can be asked for its surface."""
