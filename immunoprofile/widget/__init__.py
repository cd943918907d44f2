"""Look, draw, review in JupyterLab: the gate editor. The only room with JavaScript, and nothing imports it.

The editor needs anywidget (`pip install "immunoprofile[lab]"`); everything that it does can be done without it.
"""

from __future__ import annotations

from immunoprofile.widget.entry import edit

__all__ = ["edit"]
