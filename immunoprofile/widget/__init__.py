"""Look, draw, review in JupyterLab: gate editor and review board. The only room with JavaScript; nothing imports it.

They need anywidget (`pip install "immunoprofile[lab]"`); everything that they do can be done without it.
"""

from __future__ import annotations

from immunoprofile.widget.entry import edit
from immunoprofile.widget.reviewing import review

__all__ = ["edit", "review"]
