"""One FCS file as HTML: channels, events, and the keywords that say nothing of a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from immunoprofile.io.keywords import channel_of, classify
from immunoprofile.markup import block, counted, folded, line, table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from immunoprofile.io.fcs import Sample


def sample_view(sample: Sample) -> str:
    """File, channels and settings; keywords that may name a person, and dates, are counted and never shown."""
    shown, hidden = _settings(sample.keywords)
    rows = [(c.pnn, c.pns or "–", c.marker, c.kind, f"{c.pnr:g}", f"{c.gain:g}") for c in sample.channels]
    heads = ("channel ($PnN)", "label ($PnS)", "marker", "kind", "range", "gain")
    return block(
        sample.name,
        line(
            f"FCS {sample.version}" if sample.version else "",
            counted(sample.n_events, "event"),
            counted(len(sample.channels), "channel"),
            f"sha256 {sample.sha256[:12]}" if sample.sha256 else "no file",
        ),
        line("! repaired on reading: " + "; ".join(sample.repairs)) if sample.repairs else "",
        table(heads, rows, numbers=(4, 5)),
        folded(
            f"{counted(len(shown), 'setting')} of the file",
            table(("keyword", "value"), shown),
            line(f"{counted(hidden, 'keyword')} not shown: dates, free text, what may name a person"
                 " (sample.keywords has all)"),
        ),
    )  # fmt: skip


def _settings(keywords: Mapping[str, str]) -> tuple[list[tuple[str, str]], int]:
    """Keywords of the whole file that the analysis needs, and how many were left out."""
    shown: list[tuple[str, str]] = []
    hidden = 0
    for name, value in sorted(keywords.items()):
        if channel_of(name.upper()) is not None:
            continue  # the table of channels has them
        kind = classify(name.upper(), value.strip())
        # A label is free text: of those only the cytometer and the software are shown.
        if kind in ("layout", "number") or (kind == "label" and name in ("cyt", "creator", "tr", "threshold")):
            shown.append((name, value if len(value) <= 80 else f"{value[:77]}…"))
        else:
            hidden += 1
    return shown, hidden
