"""Films: the pictures that went in come out, in time; or there is no film."""

import re
import subprocess
import sys

import numpy as np
import pytest
from imageio_ffmpeg import get_ffmpeg_exe
from PIL import Image

from reins.errors import ConfigError, DataError
from reins.experiments import video
from reins.experiments.video import Film, captioned, check_film, write_film


def pictures(n=4, height=20, width=30):
    """A white square on colours of its own moves to the right, on a growing bar."""
    for time in range(n):
        picture = np.full((height, width, 3), (10, 60, 110), np.uint8)
        picture[:5, : time + 1] = 200, 40, 20
        picture[10:14, 3 * time : 3 * time + 4] = 255
        yield picture


def read_gif(path):
    """Every picture as it is shown, and for how many milliseconds."""
    with Image.open(path) as film:
        found = []
        for number in range(film.n_frames):
            film.seek(number)
            found.append((np.asarray(film.convert("RGB")), film.info["duration"]))
        return found


def read_mp4(path):
    """Every picture, as ffmpeg decodes it, and what it says of the film."""
    decode = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    found = subprocess.run(
        [get_ffmpeg_exe(), "-i", str(path), *decode], capture_output=True, check=True
    )
    said = found.stderr.decode()
    width, height = map(int, re.search(r", (\d+)x(\d+)[, ]", said).groups())
    shown = np.frombuffer(found.stdout, np.uint8).reshape(-1, height, width, 3)
    return said, shown


def test_a_gif_shows_what_went_in(tmp_path):
    film = write_film(tmp_path / "a.gif", pictures(), fps=10)
    assert film == Film(frames=4, width=30, height=20)
    shown = read_gif(tmp_path / "a.gif")
    assert [duration for _, duration in shown] == [100] * 4
    for (found, _), expected in zip(shown, pictures(), strict=True):
        np.testing.assert_array_equal(found, expected)
    with Image.open(tmp_path / "a.gif") as film:
        assert film.info["loop"] == 0


def test_only_what_changes_is_written(tmp_path):
    rng = np.random.default_rng(0)
    still = rng.integers(0, 200, (100, 100, 1), np.uint8).repeat(3, axis=2)
    write_film(tmp_path / "one.gif", [still], fps=10)
    moving = [still.copy() for _ in range(10)]
    for time, picture in enumerate(moving):
        picture[time, :4] = 255, 0, 0
    write_film(tmp_path / "ten.gif", moving, fps=10)
    sizes = [(tmp_path / name).stat().st_size for name in ("one.gif", "ten.gif")]
    assert sizes[1] < sizes[0] + 9 * 300
    np.testing.assert_array_equal(read_gif(tmp_path / "ten.gif")[-1][0], moving[-1])


def test_a_picture_that_does_not_change_stays_for_longer(tmp_path):
    first, second = pictures(2)
    sent = [first, first, first, second, second]
    assert write_film(tmp_path / "a.gif", sent, fps=20).frames == 5
    shown = read_gif(tmp_path / "a.gif")
    assert [duration for _, duration in shown] == [150, 100]
    np.testing.assert_array_equal(shown[1][0], second)


def test_times_are_right_on_the_whole_where_hundredths_do_not_fit(tmp_path):
    write_film(tmp_path / "a.gif", pictures(9), fps=30)
    durations = [duration for _, duration in read_gif(tmp_path / "a.gif")]
    assert durations == [30, 40, 30, 30, 40, 30, 30, 40, 30]


def test_many_colours_come_out_near(tmp_path):
    ramp = np.arange(256, dtype=np.uint8)
    picture = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None], 128), axis=2)
    write_film(tmp_path / "a.gif", [picture.astype(np.uint8)], fps=10)
    ((found, _),) = read_gif(tmp_path / "a.gif")
    assert np.mean(np.abs(found.astype(float) - picture)) < 6


@pytest.mark.parametrize(("height", "width"), [(20, 30), (21, 33)])
def test_an_mp4_shows_about_what_went_in(tmp_path, height, width):
    sent = list(pictures(6, height, width))
    film = write_film(tmp_path / "a.mp4", sent, fps=12.5)
    assert film == Film(6, width, height)
    said, shown = read_mp4(tmp_path / "a.mp4")
    assert "12.50 fps" in said
    assert "h264" in said
    assert shown.shape == (6, height + height % 2, width + width % 2, 3)
    for found, expected in zip(shown, sent, strict=True):
        error = np.abs(found[:height, :width].astype(float) - expected)
        assert np.mean(error) < 12


def test_a_film_that_breaks_off_leaves_the_one_before(tmp_path):
    def broken():
        yield from pictures(3)
        raise KeyboardInterrupt

    for name in ("a.gif", "a.mp4"):
        (tmp_path / name).write_bytes(b"before")
        with pytest.raises(KeyboardInterrupt):
            write_film(tmp_path / name, broken(), fps=10)
        assert (tmp_path / name).read_bytes() == b"before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.gif", "a.mp4"]


def test_pictures_of_two_sizes_and_no_picture_are_refused(tmp_path):
    for name in ("a.gif", "a.mp4"):
        mixed = [*pictures(2), *pictures(1, height=22)]
        with pytest.raises(DataError, match=r"picture 2 of a film has shape \(22, 30"):
            write_film(tmp_path / name, mixed, fps=10)
        with pytest.raises(DataError, match="of no picture at all"):
            write_film(tmp_path / name, [], fps=10)
    assert list(tmp_path.iterdir()) == []


def test_another_kind_of_film_is_refused(tmp_path):
    for name in ("a.avi", "film", "a.gif.txt"):
        with pytest.raises(ConfigError, match=r"\.gif and \.mp4, and its name ends in"):
            check_film(tmp_path / name)
    check_film(tmp_path / "A.GIF")
    (tmp_path / "a.gif").mkdir()
    with pytest.raises(ConfigError, match="which is a folder"):
        check_film(tmp_path / "a.gif")


def test_an_mp4_without_ffmpeg_says_what_to_install(tmp_path, monkeypatch):
    check_film(tmp_path / "a.mp4")
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(ConfigError) as refused:
        check_film(tmp_path / "a.mp4")
    for text in ("pip install imageio-ffmpeg", "or name a .gif"):
        assert text in str(refused.value)
    check_film(tmp_path / "a.gif")


def test_an_ffmpeg_that_fails_and_a_folder_that_is_none_are_told(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be written"):
        write_film(tmp_path / "file" / "a.gif", pictures(), fps=10)
    monkeypatch.setattr(video, "H264", "-nothing")
    with pytest.raises(ConfigError, match="Unrecognized option 'nothing'"):
        write_film(tmp_path / "a.mp4", pictures(20, 200, 300), fps=10)
    assert not (tmp_path / "a.mp4").exists()


def test_a_caption_is_a_strip_below_the_picture():
    (picture,) = pictures(1, height=40, width=400)
    found = captioned(picture, "return 12.0")
    assert found.shape == (62, 400, 3)
    np.testing.assert_array_equal(found[:40], picture)
    strip = found[40:]
    inked = np.any(strip != strip[0, -1], axis=2)
    columns = np.nonzero(inked.any(axis=0))[0]
    assert 5 <= columns[0] < 20
    assert 50 < columns[-1] < 110
    assert np.any(captioned(picture, "return 13.0") != found)


def test_a_small_picture_gets_room_for_its_caption():
    (picture,) = pictures(1)
    found = captioned(picture, "return 12.0")
    assert found.shape == (42, 320, 3)
    np.testing.assert_array_equal(found[:20, 145:175], picture)
