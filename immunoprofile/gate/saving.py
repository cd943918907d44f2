"""Save gates in every format that can hold them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from immunoprofile.gate import exchange
from immunoprofile.gate.strategy import GateSet, Strategy
from immunoprofile.gate.write_workspace import write_workspace


def save(gates: GateSet | Strategy, target: str | Path, *, files: Iterable[str | Path] = ()) -> list[Path]:
    """Save gating strategies; what was written is read back and compared before this returns.

    Parameters
    ----------
    gates
        One strategy or a set.
    target
        A folder (``<tube>.csv`` and ``<tube>.xml`` for each tube), for one strategy a ``.csv`` or ``.xml`` file (gates
        of single samples stand in one document a sample in ``<name>.samples`` beside it), a ``.json`` file, which
        holds every kind of gate, or a FlowJo workspace (``.wsp``).
    files
        Of a workspace: the FCS files that it is for, since FlowJo keeps gates by sample. They are gated, and their
        counts stand in the workspace.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    GateError
        The format cannot say what the strategies say; all of it is named. See `exchange.save` and
        `write_workspace.write_workspace`.

    Examples
    --------
    >>> ip.gate.save(gates, "trial.wsp", files=sorted(Path("fcs").glob("*.fcs")))  # doctest: +SKIP
    """
    path = Path(target)
    if path.suffix.lower() == ".wsp":
        return write_workspace(gates, path, files)
    return exchange.save(gates, path)
