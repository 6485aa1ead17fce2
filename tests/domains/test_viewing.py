"""The keys of random views: what they come to, and what they refuse."""

from __future__ import annotations

import pytest

from exapt.domains import ImageSpec
from exapt.domains.viewing import Jitter, PictureViewSpec, blur_radius
from exapt.errors import InputError


def plan(height: int = 32, width: int = 32, channels: int = 3, **keys: object):
    return PictureViewSpec.parse(keys).plan(height, width, channels)


def test_small_pictures_are_not_blurred_unless_asked() -> None:
    assert plan().blur == 0.0 and plan(64, 64).blur == 0.0
    assert plan(65, 64).blur == 0.5
    assert plan(blur=0.3).blur == 0.3 and plan(224, 224, blur=0).blur == 0.0
    assert blur_radius(224, 224) == 6 and blur_radius(224, 5) == 4


def test_one_strength_is_spread_over_the_four_changes() -> None:
    assert plan(jitter=0.5).jitter == Jitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
    assert plan().jitter == plan(jitter=0.5).jitter and plan().grey == 0.2
    assert plan(jitter={"hue": 0.1}).jitter == Jitter(hue=0.1)


def test_without_jitter_no_view_loses_its_colour() -> None:
    found = plan(jitter=0)
    assert not found.jitter.on and found.grey == 0.0 and not found.colours and found.moves
    assert plan(jitter={"brightness": 0.4}).grey == 0.0  # light alone leaves colour alone
    assert plan(jitter=0, grey=0.5).grey == 0.5


def test_rotation_and_colour_are_independent_switches() -> None:
    for rotation in (0.0, 30.0):
        for jitter in (0.0, 0.5):
            found = plan(rotation=rotation, jitter=jitter, crop=None, flip=0)
            assert (found.moves, found.colours) == (rotation > 0, jitter > 0)


def test_pictures_without_colour_get_light_only() -> None:
    assert plan(channels=1).jitter == Jitter(brightness=0.4, contrast=0.4) and plan(channels=1).grey == 0.0
    assert plan(channels=4).jitter.hue == 0.1
    assert not plan(channels=5).jitter.coloured  # five channels are not red, green and blue


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"jitter": 0.5}, "domain.views.jitter: pictures of 1 channel have no colour to change; valid here: grey: 0"),
        ({"jitter": {"hue": 0.1}}, "domain.views.jitter: pictures of 1 channel have no colour"),
        ({"grey": 0.2}, "domain.views.grey: pictures of 1 channel have no colour"),
    ],
)
def test_colour_is_refused_where_there_is_none(keys: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan(channels=1, **keys)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"crop": [0.5, 0.2]}, r"views: crop is least and most, above 0 \(found \[0.5, 0.2\]\)"),
        ({"crop": [0.0, 1.0]}, "crop is least and most, above 0"),
        ({"ratio": [2.0, 0.5]}, "ratio is least and most"),
        ({"rotaton": 5}, "unknown key 'views.rotaton'; did you mean 'rotation'"),
        ({"jitter": {"huo": 0.1}}, "jitter"),
        ({"flip": 1.5}, "views.flip: Input should be less than or equal to 1"),
        ({"path": "torchvision"}, "views.path: Input should be 'fused' or 'kornia'"),
    ],
)
def test_one_line_says_which_key_is_wrong(keys: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        ImageSpec.parse({"views": keys}, "domain")
    assert "\n" not in str(error.value)
