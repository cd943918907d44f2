"""What FCS files say about themselves, held against the tables of a study: the checks of the manifest on a registry.

A study that was written by hand never passed through `manifest`; files of two visits that changed places, or an
acquisition before the blood was drawn, show in the keywords all the same.
"""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from immunoprofile.errors import FcsError, Problems
from immunoprofile.io import keywords as kw
from immunoprofile.io.dates import days_between
from immunoprofile.io.fcs_outline import Outline, read_outline
from immunoprofile.io.files import inside, sha256_of
from immunoprofile.io.manifest_checks import check_dates, check_panels, order_attempts
from immunoprofile.io.records import numbered

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from immunoprofile.io.config import StudyConfig
    from immunoprofile.io.exceptions import Exceptions

MOST_DAYS_TO_ACQUISITION: Final = 7
"""Days after the draw at which an acquisition of cells that were not frozen is asked about: stained whole blood is kept
for two or three."""

_MIDDLE: Final = 4096
_OF_SUBJECTS = ("sample", "replicate")


def check_equal_content(folder: Path, samples: pd.DataFrame, problems: Problems) -> None:
    """Files with the same bytes under two acquisitions are a problem: one of them is not what the table says.

    Only files of the same size and with the same bytes in their middle are hashed. Rows that a person excluded do not
    count.
    """
    by_size: dict[int, list[tuple[int, dict[str, Any]]]] = {}
    for row, entry in _registered(samples):
        path = folder / str(entry["fcs_path"])
        if path.is_file():
            by_size.setdefault(path.stat().st_size, []).append((row, entry))
    for group in by_size.values():
        first: dict[str, tuple[int, dict[str, Any]]] = {}
        for row, entry in _alike(folder, group):
            earlier, other = first.setdefault(sha256_of(folder / str(entry["fcs_path"])), (row, entry))
            if earlier != row and other["fcs_path"] != entry["fcs_path"]:
                problems.add(
                    "samples.csv",
                    f"{_name(entry)} has the same content as row {earlier}, {_name(other)} ({other['fcs_path']})",
                    row=row, column="fcs_path", value=entry["fcs_path"],
                    allowed="find out whose file it is, and remove the other row or set its exclude_flag to Y",
                )  # fmt: skip


def _alike(folder: Path, group: list[tuple[int, dict[str, Any]]]) -> list[tuple[int, dict[str, Any]]]:
    """Those of some files of one size whose middle another of them has as well."""
    if len(group) < 2:
        return []
    middles = [_middle(folder / str(entry["fcs_path"])) for _, entry in group]
    times = Counter(middles)
    return [one for one, middle in zip(group, middles, strict=True) if times[middle] > 1]


def _middle(path: Path) -> bytes:
    """Bytes of a file from its middle on, where FCS keeps events."""
    with path.open("rb") as handle:
        handle.seek(path.stat().st_size // 2)
        return handle.read(_MIDDLE)


def _registered(samples: pd.DataFrame) -> Iterator[tuple[int, dict[str, Any]]]:
    """Row and cells of the acquisitions of subjects that count."""
    for row, entry in numbered(samples, "samples"):
        if entry["role"] in _OF_SUBJECTS and entry["fcs_path"] and not entry["exclude_flag"]:
            yield row, entry


def _name(entry: dict[str, Any]) -> str:
    return " ".join(entry[name] for name in ("usubjid", "visit", "tube_id"))


class _Entry:
    """A registered file, as the checks of the manifest take it."""

    def __init__(self, row: int, entry: dict[str, Any], outline: Outline) -> None:
        self.number = row
        self.registered = entry
        self.where = str(entry["fcs_path"])
        self.named: dict[str, str] = {}
        self.outline: Outline | None = outline
        known = ("sample_id", "usubjid", "visit", "tube_id", "role", "batch_id", "supersedes")
        self.row: dict[str, Any] = {name: entry[name] for name in known if entry[name]}
        self.row |= {name: int(entry[name]) for name in ("attempt", "replicate") if not math.isnan(entry[name])}
        day = kw.parse_date(outline.get("DATE"))
        if day is not None:
            self.row["acquired_dtc"] = day.isoformat()

    def keyword(self, bare: str) -> str:
        return self.outline.get(bare) if self.outline is not None else ""


def note_acquisitions(folder: Path, samples: pd.DataFrame, config: StudyConfig, notes: Exceptions) -> None:
    """Warn where dates, order, attempts and panels of the files disagree with the tables.

    Parameters
    ----------
    folder
        Study folder.
    samples
        The samples table; rows whose file is missing or cannot be taken apart are not judged here.
    config
        Visits in their order.
    notes
        Takes the warnings ``ACQUISITION_ORDER``, ``ATTEMPT_ORDER``, ``PANEL_DIFFERS``, ``ACQUIRED_BEFORE_DRAW``,
        ``ACQUIRED_LATE`` and ``ACQUIRED_DIFFERS``.
    """
    files = []
    for row, entry in _registered(samples):
        try:
            files.append(_Entry(row, entry, read_outline(inside(folder, str(entry["fcs_path"])))))
        except FcsError:
            continue  # check and run name it with the reason when they read its events
    by_where = {file.where: file for file in files}
    dates, attempts, panels = Problems(), Problems(), Problems()
    check_dates(files, config, dates)
    order_attempts(files, attempts)
    check_panels(files, {}, panels)
    of_code = {"ACQUISITION_ORDER": dates, "ATTEMPT_ORDER": attempts, "PANEL_DIFFERS": panels}
    for code, found in of_code.items():
        for problem in found.found:
            what = problem.what + (f" ({problem.value})" if problem.value else "")
            place = _place(by_where[problem.where]) if problem.where in by_where else {"table": "samples"}
            notes.add("warning", code, what, **place, action="compare the files with samples.csv")
    for file in files:
        _note_dates(file, notes)


def _place(file: _Entry) -> dict[str, Any]:
    entry = file.registered
    return {"table": "samples", "row": file.number, "usubjid": entry["usubjid"], "visit": entry["visit"],
            "sample_id": entry["sample_id"], "file": file.where}  # fmt: skip


def _note_dates(file: _Entry, notes: Exceptions) -> None:
    entry, acquired, place = file.registered, file.row.get("acquired_dtc", ""), _place(file)
    said = entry["acquired_dtc"]
    if said and days_between(said, acquired):
        notes.add("warning", "ACQUIRED_DIFFERS", f"acquired on {acquired} ($DATE), samples.csv says {said}", **place,
                  action="correct acquired_dtc, or find out which file it is")  # fmt: skip
    drawn = entry["collected_dtc"]
    later = days_between(drawn, acquired)
    if later is not None and later < 0:
        notes.add("warning", "ACQUIRED_BEFORE_DRAW",
                  f"acquired on {acquired} ($DATE), before the blood was drawn ({drawn[:10]})", **place,
                  action="correct collected_dtc, or find out which file it is")  # fmt: skip
    elif later is not None and later > MOST_DAYS_TO_ACQUISITION and entry["specimen_type"] != "PBMC_FROZEN":
        notes.add("warning", "ACQUIRED_LATE", f"acquired on {acquired} ($DATE), {later} days after the draw", **place,
                  action="correct collected_dtc, or find out which file it is")  # fmt: skip
