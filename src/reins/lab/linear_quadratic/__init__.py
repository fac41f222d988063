"""The linear-quadratic problem in the lab: real actions, a policy of three numbers."""

from reins.lab.linear_quadratic.problem import (
    DEFAULT_SPEC,
    linear_quadratic_problem,
)

__all__ = ["DEFAULT_SPEC", "linear_quadratic_problem"]
