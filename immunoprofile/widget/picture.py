"""The picture that stays when an edit is over: it needs no kernel, no server and no script."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np

from immunoprofile.pl import style
from immunoprofile.pl.overlays import gate_lines

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from immunoprofile.widget.plot import Plot
    from immunoprofile.widget.session import EditSession


def picture(session: EditSession, plot: Plot, words: str) -> dict[str, str]:
    """A gate as PNG and as text, by media type: what a notebook stores."""
    buffer = io.BytesIO()
    with style.look():
        figure(session, plot, words).savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    png = base64.b64encode(buffer.getvalue()).decode("ascii")
    return {"image/png": png, "text/plain": f"{'; '.join(lines_of(session))}. {words}"}


def lines_of(session: EditSession) -> list[str]:
    """Counts of every population in every file, in words."""
    found = []
    for one in session.files:
        for population, n in session.revision.counts.get(one.label, {}).items():
            share = f" ({100 * n / one.n_events:.2f} %)" if one.n_events else ""
            parent = "all events" if one.population == "root" else one.population
            found.append(f"{one.label}: {population} {n:,} of {one.n_events:,} {parent}{share}")
    return found


def figure(session: EditSession, plot: Plot, words: str) -> Figure:
    """Density of the parent with the gate as it is now, and the one that it was found as, dashed."""
    from matplotlib.colors import LogNorm

    with style.look():
        made = style.new_figure(4.6, 4.6)
        made.set_layout_engine("constrained")
        axes = made.add_subplot()
        (x0, x1), *rest = plot.extent
        if rest:
            counts = np.ma.masked_equal(plot.counts, 0)
            axes.imshow(counts, origin="lower", extent=(x0, x1, *rest[0]), aspect="auto", interpolation="none",
                        norm=LogNorm(vmin=1, vmax=max(2, int(plot.counts.max(initial=1)))), cmap="viridis")  # fmt: skip
            axes.set_ylabel(_axis_words(plot, 1))
            axes.set_yticks(*zip(*plot.described[1]["ticks"], strict=True))
        else:
            step = (x1 - x0) / plot.bins
            heights = plot.counts[0].reshape(-1, 4).sum(axis=1)
            axes.fill_between(x0 + (np.arange(len(heights)) + 0.5) * 4 * step, heights, color=style.SKY, step="mid")
            axes.set_ylabel("events")
        axes.set_xlabel(_axis_words(plot, 0))
        axes.set_xticks(*zip(*plot.described[0]["ticks"], strict=True))
        limits = (axes.get_xlim(), axes.get_ylim())
        looks = ((session.revisions[0].gates, style.INK, "--"), (session.gates, style.VERMILLION, "-"))
        for gates, color, dashes in looks:
            for x, y in (line for gate in gates for line in gate_lines(gate, *limits)):
                axes.plot(x, y, color=color, linestyle=dashes, linewidth=1.7)
        axes.set_xlim(limits[0])
        axes.set_ylim(limits[1])
        axes.set_title("\n".join([*lines_of(session), words]), fontsize=7.5, loc="left")
        return made


def _axis_words(plot: Plot, position: int) -> str:
    one = plot.described[position]
    return f"{one['label']}, {one['words']}"
