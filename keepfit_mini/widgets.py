"""A figure with a slider in a notebook, for Colab and JupyterLab; needs ipywidgets. Not about: what is drawn (viz.py).

The picture is an Image widget, not an Output one as `interact` has it: a notebook run without a browser hung on that.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

from ipywidgets import Dropdown, HBox, Image, IntSlider, VBox
from matplotlib.figure import Figure


def browse(draw: Callable[[int, str], Figure], count: int, ways: Sequence[str]) -> VBox:
    """A slider over 0 ... count - 1, a choice among `ways`, and below them the figure draw(number, way)."""
    number = IntSlider(0, 0, count - 1, description="picture", continuous_update=False)
    way = Dropdown(options=list(ways), description="by")
    shown = Image(format="png")

    def redraw(_=None) -> None:
        png = io.BytesIO()
        draw(number.value, way.value).savefig(png, format="png", dpi=80)
        shown.value = png.getvalue()

    for control in (number, way):
        control.observe(redraw, "value")
    redraw()
    return VBox([HBox([number, way]), shown])
