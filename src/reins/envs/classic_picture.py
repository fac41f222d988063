"""Pictures of classic control: a few thick strokes on white paper.

Plain arrays and no drawing library, as for the lap: a stroke is the signed distance of
every pixel's centre to its edge, which is blended over one pixel. A stroke of no length
is a disc.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

WIDTH, HEIGHT = 280, 210
PAPER, INK, GROUND = (255, 255, 255), (51, 51, 51), (176, 170, 158)
BODY, ROD, JOINT, GOAL = (
    (31, 111, 139),
    (209, 73, 91),
    (51, 51, 51),
    (226, 160, 63),
)

Picture = UInt8[np.ndarray, "H W 3"]
Point = tuple[float, float]


class Stroke(NamedTuple):
    """A line with round ends: points in metres, right and up; its width in pixels."""

    start: Point
    stop: Point
    width: float
    colour: tuple[int, int, int]


def cart_pole_picture(position: float, angle: float) -> Picture:
    """The cart on its track with marks where it is lost; angle to the right of up."""
    tip = (position + np.sin(angle), 0.1 + np.cos(angle))
    marks = [Stroke((x, -0.25), (x, -0.1), 2, GROUND) for x in (-2.4, 2.4)]
    strokes = [
        Stroke((-2.6, -0.25), (2.6, -0.25), 2, GROUND),
        *marks,
        Stroke((position - 0.2, 0.0), (position + 0.2, 0.0), 22, BODY),
        Stroke((position, 0.1), tip, 7, ROD),
        Stroke((position, 0.1), (position, 0.1), 5, JOINT),
    ]
    return draw_strokes(strokes, centre=(0.0, 0.5), width=6.0)


def pendulum_picture(angle: float) -> Picture:
    """The rod, `angle` to the left of up."""
    tip = (-np.sin(angle), np.cos(angle))
    strokes = [
        Stroke((0.0, 0.0), tip, 14, ROD),
        Stroke((0.0, 0.0), (0.0, 0.0), 6, JOINT),
    ]
    return draw_strokes(strokes, centre=(0.0, 0.0), width=3.2)


def acrobot_picture(upper: float, lower: float) -> Picture:
    """Both links and the height to reach; the upper one's angle is from hanging down,
    the lower one's from the direction of the upper one."""
    middle = (np.sin(upper), -np.cos(upper))
    both = upper + lower
    tip = (middle[0] + np.sin(both), middle[1] - np.cos(both))
    joints = [Stroke(point, point, 11, JOINT) for point in ((0.0, 0.0), middle)]
    strokes = [
        Stroke((-2.6, 1.0), (2.6, 1.0), 2, GOAL),
        Stroke((0.0, 0.0), middle, 7, BODY),
        Stroke(middle, tip, 7, ROD),
        *joints,
    ]
    return draw_strokes(strokes, centre=(0.0, 0.0), width=5.8)


def mountain_car_picture(position: float, goal: float) -> Picture:
    """The car in its valley, and a flag where it should get to."""
    bends = np.linspace(-1.25, 0.65, 39)
    points = [(float(x), _height(x)) for x in bends]
    hill = pairwise(points)
    foot, top = _height(goal), _height(goal) + 0.2
    car = (position, _height(position) + 0.05)
    strokes = [
        *(Stroke(start, stop, 2, GROUND) for start, stop in hill),
        Stroke((goal, foot), (goal, top), 2, INK),
        Stroke((goal + 0.03, top - 0.02), (goal + 0.08, top - 0.02), 8, GOAL),
        Stroke(car, car, 15, BODY),
    ]
    return draw_strokes(strokes, centre=(-0.3, 0.62), width=2.0)


def _height(position: float) -> float:
    return float(np.sin(3 * position) * 0.45 + 0.55)


def draw_strokes(strokes: Sequence[Stroke], *, centre: Point, width: float) -> Picture:
    """The strokes one over another.

    Args:
      centre: the point in the middle of the picture.
      width: metres across it.
    """
    scale = WIDTH / width
    x = centre[0] + (np.arange(WIDTH)[None, :] + 0.5 - WIDTH / 2) / scale
    y = centre[1] - (np.arange(HEIGHT)[:, None] + 0.5 - HEIGHT / 2) / scale
    image = np.full((HEIGHT, WIDTH, 3), PAPER, float)
    for start, stop, thick, colour in strokes:
        along_x, along_y = stop[0] - start[0], stop[1] - start[1]
        squared = max(along_x**2 + along_y**2, 1e-12)
        part = ((x - start[0]) * along_x + (y - start[1]) * along_y) / squared
        part = np.clip(part, 0.0, 1.0)
        away = np.hypot(x - start[0] - part * along_x, y - start[1] - part * along_y)
        cover = np.clip(0.5 + thick / 2 - away * scale, 0.0, 1.0)[..., None]
        image += cover * (np.asarray(colour, float) - image)
    return np.round(image).astype(np.uint8)
