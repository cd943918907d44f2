"""Review of one gate over all samples: what is looked at, in which order, and what was decided; without a page.

Decisions are appended to a file, one JSON line each, so that a review goes on where it stopped and no decision is
overwritten: the last one of a sample counts.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from immunoprofile.density import mindensity
from immunoprofile.errors import ImmunoprofileError, NotAvailableError
from immunoprofile.gate.raster import common_axes, plot_of_gate
from immunoprofile.io.files import cannot_write
from immunoprofile.io.inputs import read_plain

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from immunoprofile.gate.gates import Gate
    from immunoprofile.gate.raster import GateRaster
    from immunoprofile.profiling import Profile

Verdict = Literal["accept", "edit", "flag"]
VERDICTS: Final[tuple[Verdict, ...]] = ("accept", "edit", "flag")

FEW_PARENT: Final = 500
"""Events of the parent below which a plot says little."""
FEW_EVENTS: Final = 20
"""Events of the population below which its percentage is a guess."""
SHIFTED: Final = 3.5
"""Robust deviations (median, MAD) of the centre of the parent from that of all samples: a usual limit of outliers
(Iglewicz and Hoaglin 1993)."""
FAR: Final = (math.log(0.58), math.log(1.73))
"""Change from the subject's baseline, log of the ratio, beyond which a sample is looked at: -42 % and +73 %, the
default reference change values."""
_VALLEY_REACH: Final = 0.12
"""Part of the axis on each side of a threshold in which a valley is looked for."""


@dataclass(frozen=True)
class Item:
    """One sample on the board.

    Attributes
    ----------
    sample_id, usubjid, visit, batch
        Which sample.
    n, n_parent
        Events of the population and its parent.
    flags
        Why it should be looked at, in words.
    score
        How urgent; the largest stand first.
    """

    sample_id: str
    usubjid: str
    visit: str
    batch: str
    n: int
    n_parent: int
    flags: tuple[str, ...] = ()
    score: float = 0.0

    @property
    def share(self) -> float:
        """Per cent of the parent; NaN where it has no events."""
        return 100.0 * self.n / self.n_parent if self.n_parent else math.nan


@dataclass(frozen=True)
class Decision:
    """What a person decided on the gate of one sample."""

    tube: str
    population: str
    sample: str
    decision: Verdict
    reason: str
    author: str
    gate: str
    time: str


@dataclass(eq=False)
class Board:
    """The samples of a gate in order, and the decisions.

    Attributes
    ----------
    profile
        The gated study.
    tube, population
        Which gate.
    items
        Worst first, or by subject and visit.
    record
        File of the decisions; None keeps them in memory only.
    author
        Code of the person.
    frame
        A plot on axes that hold those of all samples; None where no sample has one.
    done, of_other_gates
        Last decision of each sample, and how many were on another gate than the present one.
    """

    profile: Profile
    tube: str
    population: str
    items: tuple[Item, ...]
    record: Path | None
    author: str
    frame: GateRaster | None = None
    done: dict[str, Decision] = field(default_factory=dict)
    of_other_gates: int = 0

    def decide(self, sample: str, verdict: str, reason: str = "") -> Decision:
        """Record a decision; the last one of a sample counts.

        Raises
        ------
        ImmunoprofileError
            There is no such sample or decision; ``edit`` and ``flag`` need a reason.
        OutputError
            The record cannot be written; nothing was decided.
        """
        if sample not in {item.sample_id for item in self.items}:
            raise ImmunoprofileError("is not on the board", where=sample)
        if verdict not in VERDICTS:
            raise ImmunoprofileError(f"{verdict!r} is no decision", where=sample, todo=f"one of {', '.join(VERDICTS)}")
        if verdict != "accept" and not reason.strip():
            raise ImmunoprofileError(f"'{verdict}' needs a reason", where="review")
        made = Decision(
            self.tube, self.population, sample, verdict, reason.strip(), self.author,
            gate_hash(self.profile.gates[self.tube][self.population]),
            datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )  # fmt: skip
        if self.record is not None:
            line = json.dumps(asdict(made), ensure_ascii=False, sort_keys=True) + "\n"
            try:
                with self.record.open("ab") as file:
                    file.write(line.encode())
            except OSError as error:
                raise cannot_write(self.record, error) from error
        self.done[sample] = made
        return made

    def raster(self, sample: str) -> GateRaster | None:
        """The plot of the gate in a sample, with this gate alone on it; None where it has none."""
        return plot_of_gate(self.profile.rasters(sample), self.population)

    def baseline_of(self, sample: str) -> Item | None:
        """First visit of the subject of a sample; None where there is none, and for that visit itself."""
        own = next(item for item in self.items if item.sample_id == sample)
        before = _baselines(self.profile, self.items).get(own.usubjid)
        return None if before is own else before

    def table(self) -> pd.DataFrame:
        """One row a sample in the order of the board: what it is, its flags, and what was decided, by whom and when."""
        import pandas as pd

        rows = []
        for item in self.items:
            made = self.done.get(item.sample_id)
            rows.append(
                (item.sample_id, item.usubjid, item.visit, item.batch, item.n, item.n_parent, item.share,
                 "; ".join(item.flags), made.decision if made else "", made.reason if made else "",
                 made.author if made else "", made.time if made else "")
            )  # fmt: skip
        columns = ["sample_id", "usubjid", "visit", "batch_id", "n", "n_parent", "pct_parent", "flags", "decision",
                   "reason", "author", "time"]  # fmt: skip
        return pd.DataFrame(rows, columns=columns)


def gate_hash(gate: Gate) -> str:
    """Hash of a gate without its note: a decision holds for the very gate that was seen."""
    return hashlib.sha256(repr(replace(gate, note="")).encode()).hexdigest()[:16]


def board_of(
    profile: Profile, population: str, *, order: str = "flags", record: str | Path | None = None, author: str = ""
) -> Board:
    """The board of a gate; see `review`."""
    tube, _, name = population.rpartition("/")
    if not tube and name in profile.visits.var_names:
        tube = str(profile.visits.var.loc[name, "tube"])
    if tube not in profile.gates or name not in profile.gates[tube]:
        known = ", ".join(f"{one}/..." for one in profile.gates)
        raise NotAvailableError(f"no tube gates {population}", where="widget.review", todo=f"tube/population: {known}")
    if order not in ("flags", "subject"):
        raise ImmunoprofileError(f"order {order!r} is unknown", where="widget.review", todo="flags or subject")
    items = _items(profile, tube, name)
    if not items:
        raise NotAvailableError(f"no sample of tube {tube} was gated", where="widget.review", todo="run the study")
    found = {item.sample_id: plot_of_gate(profile.rasters(item.sample_id), name) for item in items}
    rasters = {sample: one for sample, one in found.items() if one is not None}
    items = _flagged(profile, profile.gates[tube][name], items, rasters)
    if order == "flags":
        # Among equals the order tells nothing of subject or visit.
        items.sort(key=lambda item: (-item.score, hashlib.sha256(item.sample_id.encode()).digest()))
    frame = common_axes(tuple(rasters.values())) if rasters else None
    board = Board(profile, tube, name, tuple(items), None if record is None else Path(record), author, frame)
    if board.record is not None and board.record.is_file():
        _resume(board, board.record)
    return board


def _resume(board: Board, record: Path) -> None:
    gate = gate_hash(board.profile.gates[board.tube][board.population])
    # As bytes: text would also be cut at marks that a reason may hold, such as U+2028 of a pasted sentence.
    for number, line in enumerate(read_plain(record).splitlines(), 1):
        try:
            made = Decision(**json.loads(line))
        except (ValueError, TypeError) as error:
            raise ImmunoprofileError(f"line {number} is no decision: {error}", where=str(record),
                                     todo="mend the line, or name another file") from error  # fmt: skip
        if (made.tube, made.population) != (board.tube, board.population):
            continue
        if made.gate == gate:
            board.done[made.sample] = made
        else:
            board.of_other_gates += 1


def _items(profile: Profile, tube: str, population: str) -> list[Item]:
    counts = profile.counts
    own = counts[(counts["tube"] == tube) & (counts["population"] == population)]
    n_of = dict(zip(own["sample_id"].astype(str), zip(own["n"], own["n_parent"], strict=True), strict=True))
    batches = profile.study.samples.set_index("sample_id")
    batch = batches["batch_id"] if "batch_id" in batches else None
    found: list[Item] = []
    for _, row in profile.visits.obs.iterrows():
        sample = profile.sample_of(str(row["usubjid"]), str(row["visit"]), tube)
        if sample is None or sample not in n_of:
            continue
        said = batch.get(sample) if batch is not None else None
        found.append(
            Item(sample, str(row["usubjid"]), str(row["visit"]), said if isinstance(said, str) else "",
                 int(n_of[sample][0]), int(n_of[sample][1]))
        )  # fmt: skip
    return found


def _baselines(profile: Profile, items: Sequence[Item]) -> dict[str, Item]:
    first_visit = profile.study.config.visit_names[0]
    return {item.usubjid: item for item in items if item.visit == first_visit}


def _flagged(profile: Profile, gate: Gate, items: Sequence[Item], rasters: Mapping[str, GateRaster]) -> list[Item]:
    baseline = _baselines(profile, items)
    centres = {name: _centre(one) for name, one in rasters.items() if one.n_parent}
    shifts = _robust(centres)
    result = []
    for item in items:
        flags, score = [], 0.0
        if item.n_parent < FEW_PARENT or item.n < FEW_EVENTS:
            flags.append(f"few events ({item.n:,} of {item.n_parent:,})")
            score += 1.0
        shift = shifts.get(item.sample_id, 0.0)
        if shift > SHIFTED:
            flags.append(f"parent shifted ({shift:.1f} robust deviations)")
            score += 2.0 + min(shift / SHIFTED, 5.0)
        before = baseline.get(item.usubjid)
        if before is not None and before is not item and before.n and item.n:
            ratio = math.log(item.share / before.share)
            if not FAR[0] <= ratio <= FAR[1]:
                flags.append(f"{100 * math.expm1(ratio):+.0f} % from the subject's baseline")
                score += 1.0 + min(abs(ratio), 3.0)
        raster = rasters.get(item.sample_id)
        if raster is not None and _lacks_valley(gate, raster):
            flags.append("no valley near the threshold")
            score += 1.0
        result.append(replace(item, flags=tuple(flags), score=score))
    return result


def _marginal(raster: GateRaster, axis: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Middles of the bins of an axis and the events in each."""
    low, high = (raster.x_range, raster.y_range)[axis]
    counts = raster.counts.sum(axis=axis).astype(np.float64)
    return low + (np.arange(len(counts)) + 0.5) * (high - low) / len(counts), counts


def _centre(raster: GateRaster) -> tuple[float, float]:
    """Median of the parent on both axes."""
    found = []
    for axis in (0, 1):
        middle, counts = _marginal(raster, axis)
        found.append(float(middle[int(np.searchsorted(np.cumsum(counts), counts.sum() / 2))]))
    return found[0], found[1]


def _robust(centres: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """Largest distance from the median of all samples on either axis, in robust deviations; none below five samples."""
    if len(centres) < 5:
        return {}
    values = np.array(list(centres.values()))
    away = np.abs(values - np.median(values, axis=0))
    spread = 1.4826 * np.median(away, axis=0)
    span = np.ptp(values, axis=0)
    spread = np.maximum(spread, np.maximum(0.02 * span, 1e-12))
    return dict(zip(centres, (away / spread).max(axis=1).tolist(), strict=True))


def _lacks_valley(gate: Gate, raster: GateRaster) -> bool:
    """Whether a threshold on one channel has no minimum of the density near it."""
    ends = [one for d in gate.dimensions for one in (d.minimum, d.maximum) if one is not None]
    if gate.kind != "rectangle" or len(gate.dimensions) != 1 or len(ends) != 1 or gate.dimensions[0].scale is None:
        return False
    middle, counts = _marginal(raster, 0)
    if counts.sum() < FEW_PARENT:
        return False
    share = np.minimum(1.0, 20_000 / counts.sum())
    values = np.repeat(middle, np.ceil(counts * share).astype(int))
    reach = _VALLEY_REACH * (raster.x_range[1] - raster.x_range[0])
    return mindensity(values, (ends[0] - reach, ends[0] + reach)) is None
