"""Exact answers are compared at 1e-10, so everything here runs in float64."""

import jax
import pytest


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield
