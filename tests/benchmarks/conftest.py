"""Benchmarks are tested on the tiny data set of the backend's tests."""

from tests.backend.conftest import write_archive

__all__ = ["write_archive"]
