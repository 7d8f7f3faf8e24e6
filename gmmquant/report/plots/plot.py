"""`Plot`: a figure of matplotlib that notebooks show as it is."""

from __future__ import annotations

import io

from matplotlib.figure import Figure


class Plot(Figure):
    """A figure that notebooks show without `pyplot`, which keeps no reference to it."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=self.get_dpi(), metadata={"Software": None})
        return file.getvalue()
