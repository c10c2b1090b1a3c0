"""A slider's picture is the figure of where it stands."""

import pytest
from matplotlib.figure import Figure

pytest.importorskip("ipywidgets")  # of the extra "notebooks"
from keepfit_mini.widgets import browse  # noqa: E402


def test_the_picture_follows_both_controls():
    asked = []

    def draw(number, way):
        asked.append((number, way))
        figure = Figure((1, 1))
        figure.text(0, 0.5, f"{number} {way}")
        return figure

    controls, shown = browse(draw, 5, ["a", "b"]).children
    number, way = controls.children
    pictures = [bytes(shown.value)]
    number.value = 3
    pictures.append(bytes(shown.value))
    way.value = "b"
    pictures.append(bytes(shown.value))
    number.value = 99  # the slider stops at its end
    assert asked == [(0, "a"), (3, "a"), (3, "b"), (4, "b")]
    assert len(set(pictures)) == 3 and all(png.startswith(b"\x89PNG") for png in pictures)
