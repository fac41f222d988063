"""Films: pictures one after another, as a .gif or .mp4 that is whole or not there."""

import importlib.util
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageChops, ImageDraw, ImageFont
from PIL.GifImagePlugin import getdata, getheader

from reins.errors import ConfigError, DataError
from reins.experiments.files import write_whole

KINDS = (".gif", ".mp4")
FASTEST = 50.0
"""Pictures per second that any browser shows in time; a .gif counts in 1/100 s."""
NARROWEST = 320
"""Pixels that a caption needs."""
H264 = "-an -c:v libx264 -crf 20 -pix_fmt yuv420p -movflags +faststart"
"""What every player shows, of a good quality, and can begin before it has it all."""
STRIP, INK, FRAME = 22, (235, 235, 235), (38, 42, 46)

Picture = UInt8[np.ndarray, "H W 3"]


class Film(NamedTuple):
    """What was written: the number of pictures, and their size in pixels."""

    frames: int
    width: int
    height: int


def check_film(path: Path) -> None:
    """Refuse a film that could not be written, before anything is played.

    Raises: ConfigError.
    """
    if path.suffix.lower() not in KINDS:
        raise ConfigError(
            f"a film was to go to {path}; there are films of the kinds "
            f"{' and '.join(KINDS)}, and its name ends in neither. Name one, as "
            f"{path.stem}.gif."
        )
    if path.is_dir():
        raise ConfigError(
            f"a film was to go to {path}, which is a folder. Name a file."
        )
    if path.suffix.lower() == ".mp4" and not importlib.util.find_spec("imageio_ffmpeg"):
        raise ConfigError(
            f"a film was to go to {path}; an .mp4 is written by imageio-ffmpeg, which "
            "is not here. Install it with `pip install imageio-ffmpeg`, or name a "
            ".gif, which needs nothing more."
        )


def write_film(path: Path, pictures: Iterable[Picture], *, fps: float) -> Film:
    """Write pictures as they come; without all of them there is no file.

    Args:
      path: ends in .gif (up to 256 colours in each picture) or .mp4 (H.264).
      pictures: all of one size.
      fps: pictures per second.

    Raises: ConfigError where that cannot be written, DataError for pictures of
      different sizes, or for none.
    """
    check_film(path)
    seen: list[Picture] = []
    count = 0

    def counted() -> Iterator[Picture]:
        nonlocal count
        for picture in pictures:
            first = seen[0] if seen else picture
            if picture.shape != first.shape:
                raise DataError(
                    f"picture {count} of a film has shape {picture.shape}; the first "
                    f"has {first.shape}, and all must have the same."
                )
            seen[:] = [first]
            count += 1
            yield picture

    write = _write_gif if path.suffix.lower() == ".gif" else _write_mp4
    try:
        write_whole(path, lambda stream: write(stream, counted(), fps))
    except OSError as error:
        raise ConfigError(
            f"a film was to go to {path}, which cannot be written ({error}). Name "
            "another file."
        ) from None
    height, width = seen[0].shape[:2]
    return Film(count, width, height)


def _write_gif(stream: BinaryIO, pictures: Iterator[Picture], fps: float) -> None:
    """One picture after another: what changed of it, with colours of its own."""
    begun = False
    for changed, corner, hundredths in _changes(pictures, fps):
        few = changed.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        parts = [] if begun else getheader(few, info={"loop": 0})[0]
        begun = True
        parts += getdata(
            few, corner, duration=10 * hundredths, include_color_table=True
        )
        stream.write(b"".join(parts))
    stream.write(b";")


def _changes(
    pictures: Iterator[Picture], fps: float
) -> Iterator[tuple[Image.Image, tuple[int, int], int]]:
    """What changes, the corner where it belongs, and for how many 1/100 s it stays.

    A picture like the one before it only lets that one stay for longer. Times are
    rounded from the beginning, so that their errors do not add up.
    """
    before, held, since, number = None, None, 0, 0
    for number, picture in enumerate(pictures, start=1):
        image = Image.fromarray(picture)
        box = (0, 0, *image.size)
        if before is not None:
            box = ImageChops.difference(before, image).getbbox()
        if box is not None:
            now = round(100 * (number - 1) / fps)
            if held is not None:
                yield *held, now - since
            held, since = (image.crop(box), box[:2]), now
        before = image
    if held is None:
        raise _no_pictures()
    yield *held, round(100 * number / fps) - since


def _write_mp4(stream: BinaryIO, pictures: Iterator[Picture], fps: float) -> None:
    """By ffmpeg, which wants a file that it can go back in."""
    first = next(pictures, None)
    if first is None:
        raise _no_pictures()
    height, width = _even(first).shape[:2]
    with tempfile.TemporaryDirectory(prefix="reins-") as folder:
        path = Path(folder) / "film.mp4"
        raw = f"-f rawvideo -pix_fmt rgb24 -s {width}x{height} -r {fps} -i -"
        # Not imageio_ffmpeg.write_frames, which forks; JAX's threads do not survive it.
        command = [_ffmpeg(), "-loglevel", "error", *raw.split(), *H264.split()]
        with subprocess.Popen(  # noqa: S603 - the words above, and numbers
            [*command, str(path)],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,  # Ctrl-C is for us; then its pipe ends
        ) as ffmpeg:
            pipe = cast(BinaryIO, ffmpeg.stdin)
            with suppress(BrokenPipeError):  # it gave up, and says why
                for picture in chain([first], pictures):
                    pipe.write(_even(picture).tobytes())
            _, said = ffmpeg.communicate()
        if ffmpeg.returncode != 0:
            raise OSError(f"ffmpeg: {said.decode(errors='replace').strip()}")
        stream.write(path.read_bytes())


def _ffmpeg() -> str:
    from imageio_ffmpeg import get_ffmpeg_exe

    return get_ffmpeg_exe()


def _even(picture: Picture) -> UInt8[np.ndarray, "H2 W2 3"]:
    """With one more row or column where their number is odd, as the colours of H.264
    need it: each stands for 2 x 2 pixels."""
    height, width = picture.shape[:2]
    padding = ((0, height % 2), (0, width % 2), (0, 0))
    return np.pad(picture, padding, mode="edge")


def _no_pictures() -> DataError:
    return DataError("a film was asked for of no picture at all.")


def captioned(picture: Picture, text: str) -> UInt8[np.ndarray, "H2 W2 3"]:
    """The picture on a strip with a line of text; at least `NARROWEST` wide."""
    height, width = picture.shape[:2]
    sheet = Image.new("RGB", (max(width, NARROWEST), height + STRIP), FRAME)
    sheet.paste(Image.fromarray(picture), ((sheet.width - width) // 2, 0))
    font = ImageFont.load_default(12)
    ImageDraw.Draw(sheet).text((8, height + 4), text, INK, font)
    return np.asarray(sheet)
