"""Classic control, compiled: Gymnasium's dynamics, rewards, spaces and horizons.

Written from the equations of motion, integrated in the order that Gymnasium does. It
computes in double precision and this in single: one step agrees to about 1e-6, and a
long episode of a chaotic one (the acrobot) need not. Costs are 0 throughout.

A state is the vector that its environment's docstring names, in SI units and radians.
"""

from reins.envs.classic.acrobot import acrobot
from reins.envs.classic.cart_pole import cart_pole
from reins.envs.classic.mountain_car import mountain_car, mountain_car_continuous
from reins.envs.classic.pendulum import pendulum

__all__ = [
    "acrobot",
    "cart_pole",
    "mountain_car",
    "mountain_car_continuous",
    "pendulum",
]
