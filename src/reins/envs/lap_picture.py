"""The lap as a picture: cells, coins, the driver, and which way it last drove.

Plain arrays and no drawing library: a shape is the signed distance of every pixel's
centre to its edge (negative inside), and its edge is blended over one pixel.
"""

import functools

import numpy as np
from jaxtyping import Float, UInt8

CELL = 30
"""Pixels from one cell to the next."""
MARGIN = 11
PAPER, TRACK, EDGE, INK = (
    (255, 255, 255),
    (243, 239, 230),
    (176, 170, 158),
    (51, 51, 51),
)
COIN, COIN_EDGE = (226, 160, 63), (138, 90, 0)
CLOCKWISE_COLOUR, ANTICLOCKWISE_COLOUR = (31, 111, 139), (209, 73, 91)
STILL_COLOUR = (108, 117, 125)

Colour = tuple[int, int, int]
Distance = Float[np.ndarray, "H W"]


def lap_corners(cells: int) -> list[tuple[int, int]]:
    """Column and row from below of each cell of a square lap, clockwise from the left
    upper one."""
    side = cells // 4
    positions = []
    for cell in range(cells):
        edge, along = divmod(cell, side)
        positions.append(
            [
                (along, side),
                (side, side - along),
                (side - along, 0),
                (0, along),
            ][edge]
        )
    return positions


def lap_picture(
    cell: int, before: int, *, cells: int, coins: tuple[int, ...]
) -> UInt8[np.ndarray, "H W 3"]:
    """The driver in its cell, pointing and coloured the way it came: blue clockwise,
    red against the clock, a grey disc when it has not moved; rimmed in gold on a coin.

    Args:
      cell, before: where the driver is, and where it was one step earlier.
      cells: length of the lap, a multiple of 4.
      coins: cells with a coin; a coin pays every time, and so is never gone.
    """
    image = _track(cells, coins).copy()
    turn = {1: 1, cells - 1: -1}.get((cell - before) % cells, 0)
    colour = {1: CLOCKWISE_COLOUR, -1: ANTICLOCKWISE_COLOUR, 0: STILL_COLOUR}[turn]
    _paint_turn(image, turn, colour)
    x, y = _centre(cell, cells)
    if turn == 0:
        shape = _disc(image, x, y, 9.0)
    else:
        x2, y2 = _centre((cell + turn) % cells, cells)
        shape = _arrow_head(image, (x, y), ((x2 - x) / CELL, (y2 - y) / CELL), 11.0)
    _paint(image, shape - 2.0, COIN if cell in coins else PAPER)
    _paint(image, shape, colour)
    return np.round(image).astype(np.uint8)


@functools.cache
def _track(cells: int, coins: tuple[int, ...]) -> Float[np.ndarray, "H W 3"]:
    """All that never changes; its callers copy it."""
    size = 2 * MARGIN + CELL * (cells // 4 + 1)
    image = np.full((size, size, 3), PAPER, float)
    for cell in range(cells):
        x, y = _centre(cell, cells)
        _paint(image, _square(image, x, y, 13.5), INK if cell == 0 else EDGE)
        _paint(image, _square(image, x, y, 11.8 if cell == 0 else 12.5), TRACK)
    for cell in coins:
        x, y = _centre(cell, cells)
        _paint(image, _disc(image, x, y, 8.0), COIN_EDGE)
        _paint(image, _disc(image, x, y, 6.8), COIN)
        _paint(image, _disc(image, x - 2.0, y - 2.2, 1.8), PAPER)
    return image


def _centre(cell: int, cells: int) -> tuple[float, float]:
    column, row = lap_corners(cells)[cell]
    return MARGIN + CELL * (column + 0.5), MARGIN + CELL * (cells // 4 - row + 0.5)


def _paint_turn(image: np.ndarray, turn: int, colour: Colour) -> None:
    """An open ring in the middle of the lap, with a head where the driver goes."""
    middle, radius = len(image) / 2, len(image) / 7
    x, y = _pixels(image)
    # The gap is at the top, where the head points across it.
    open_at_top = np.abs(np.arctan2(x - middle, middle - y)) < 0.45
    ring = np.abs(np.hypot(x - middle, y - middle) - radius) - 3.0
    _paint(image, np.where(open_at_top & (turn != 0), 9.0, ring), colour)
    if turn != 0:
        tip = (middle - turn * radius * np.sin(0.42), middle - radius * np.cos(0.42))
        heading = (turn * np.cos(0.3), -np.sin(0.3))
        _paint(image, _arrow_head(image, tip, heading, 11.0), colour)


def _paint(image: np.ndarray, distance: Distance, colour: Colour) -> None:
    cover = np.clip(0.5 - distance, 0.0, 1.0)[..., None]
    image += cover * (np.asarray(colour, float) - image)


def _pixels(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x to the right and y downwards, of the pixels' centres."""
    height, width = image.shape[:2]
    return np.arange(width)[None, :] + 0.5, np.arange(height)[:, None] + 0.5


def _disc(image: np.ndarray, x0: float, y0: float, radius: float) -> Distance:
    x, y = _pixels(image)
    return np.hypot(x - x0, y - y0) - radius


def _square(image: np.ndarray, x0: float, y0: float, half: float) -> Distance:
    x, y = _pixels(image)
    round_corner = 4.0
    past_x = np.abs(x - x0) - half + round_corner
    past_y = np.abs(y - y0) - half + round_corner
    outside = np.hypot(np.maximum(past_x, 0.0), np.maximum(past_y, 0.0))
    return outside + np.minimum(np.maximum(past_x, past_y), 0.0) - round_corner


def _arrow_head(
    image: np.ndarray,
    centre: tuple[float, float],
    heading: tuple[float, float],
    size: float,
) -> Distance:
    """A triangle with rounded corners, `size` from its centre to its tip."""
    x, y = _pixels(image)
    along = (x - centre[0]) * heading[0] + (y - centre[1]) * heading[1]
    across = np.abs((y - centre[1]) * heading[0] - (x - centre[0]) * heading[1])
    round_corner = 1.5
    flank = 0.5 * along + np.sqrt(0.75) * across - 0.5 * size
    return np.maximum(flank, -along - 0.6 * size) - round_corner
