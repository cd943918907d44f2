"""A matplotlib figure that JupyterLab shows by itself; importing this module imports matplotlib."""

from __future__ import annotations

import io

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

DPI = 110


class ShownFigure(Figure):
    """A figure outside pyplot. Notebooks show pyplot's figures only, so this one brings its own picture.

    ``alt`` is the text for those who cannot see it.
    """

    def __init__(self, width: float, height: float, alt: str = "") -> None:
        super().__init__(figsize=(width, height))
        self.alt = alt
        FigureCanvasAgg(self)

    def _repr_png_(self) -> bytes:
        target = io.BytesIO()
        self.savefig(target, format="png", dpi=DPI)
        return target.getvalue()
