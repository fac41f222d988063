"""Hypothesis: the same examples every time, no deadline (the first one compiles)."""

import hypothesis

hypothesis.settings.register_profile(
    "reins", deadline=None, derandomize=True, database=None, max_examples=40
)
hypothesis.settings.load_profile("reins")
