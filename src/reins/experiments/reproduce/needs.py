"""What cells need before they can begin: demonstrations, and what others learn."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from reins.errors import ConfigError, DataError, unknown_name
from reins.experiments.config import LearnConfig
from reins.experiments.files import find_demonstrations
from reins.experiments.reproduce.cell import Cell


def learning_from(cells: Sequence[Cell], given: Sequence[str]) -> list[Cell]:
    """The same cells, learning from other files where sets of these names were meant.

    Args:
      given: NAME=FILE each.

    Raises: ConfigError for what is not of that form, or a set that no cell learns from.
    """
    sets = {c.config.demonstrations for c in cells if isinstance(c.config, LearnConfig)}
    files: dict[str, str] = {}
    for text in given:
        name, equals, file = text.partition("=")
        if not equals or not file:
            raise ConfigError(
                f"--demonstrations was given {text!r}; expected NAME=FILE, the name of "
                "a set and the file to learn from in its place."
            )
        if name not in sets:
            raise ConfigError(unknown_name("set in this table", name, sets))
        files[name] = file
    return [_learning_from(cell, files) for cell in cells]


def _learning_from(cell: Cell, files: Mapping[str, str]) -> Cell:
    config = cell.config
    if not isinstance(config, LearnConfig):
        return cell
    file = files.get(config.demonstrations, config.demonstrations)
    return cell._replace(config=dataclasses.replace(config, demonstrations=file))


def check_needs(cell: Cell, out: Path, failures: Mapping[str, str]) -> None:
    """Say what a cell lacks.

    Raises: DataError when demonstrations or another cell's constraints are not there.
    """
    if isinstance(cell.config, LearnConfig):
        _check_demonstrations(cell.config.demonstrations)
    if not cell.needs:
        return
    if cell.needs in failures:
        raise DataError(f"it needs what {cell.needs} learns, which failed.")
    if not any((out / cell.needs).glob("constraint-seed-*")):
        raise DataError(
            f"it needs the constraints that {cell.needs} learns, and kept results have "
            f"no more than its curves. Run that into {out} as well, without --kept."
        )


def _check_demonstrations(name: str) -> None:
    try:
        find_demonstrations(name)
    except DataError as error:
        if Path(name).suffix:
            raise
        raise DataError(
            f"it needs demonstrations `{name}`, which do not ship. Make them "
            "(docs/how-to/demonstrations.md has the commands), and say "
            f"--demonstrations {name}=FILE."
        ) from error
