"""What disagrees or repeats among the rows of a proposed manifest."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

from immunoprofile.errors import Problems
from immunoprofile.io import keywords as kw
from immunoprofile.io.markers import find_marker, is_scatter, is_time, marker_of_channel

if TYPE_CHECKING:
    from immunoprofile.io.config import StudyConfig
    from immunoprofile.io.fcs_outline import Outline


class Entry(Protocol):
    """A file with what is known of it."""

    where: str
    row: dict[str, Any]
    named: dict[str, str]
    outline: Outline | None

    def keyword(self, bare: str) -> str:
        """Value of a keyword, empty when the file has none."""
        ...


def check_panels(files: Sequence[Entry], needed: Mapping[str, Sequence[str]], problems: Problems) -> None:
    """Compare the panel of each file with its tube, and the panels of one tube with each other.

    A file without a tube gets the only tube whose markers it has.
    """
    panels = {file.where: _markers(file) for file in files if file.outline is not None}
    for file in files:
        labels = panels.get(file.where)
        if labels is None or not needed:
            continue
        fits = [tube for tube, wanted in needed.items() if not _lacking(wanted, labels)]
        tube = file.row.get("tube_id")
        if tube is None and "tube" not in file.named:
            if len(fits) == 1:
                file.row["tube_id"] = fits[0]
            else:
                what = f"the panel fits {', '.join(fits)}" if fits else "the panel fits no tube"
                problems.add(file.where, f"the tube is not known: {what}", column="tube_id")
        elif tube is not None and tube in needed and tube not in fits:
            lacking = ", ".join(_lacking(needed[tube], labels))
            other = f"; the panel says {' or '.join(fits)}" if fits else ""
            problems.add(file.where, f"the name says {tube}, but the file lacks {lacking}{other}", column="tube_id")
    by_tube: dict[str, list[Entry]] = {}
    for file in files:
        if file.where in panels and file.row.get("tube_id"):
            by_tube.setdefault(str(file.row["tube_id"]), []).append(file)
    for tube, group in sorted(by_tube.items()):
        _check_same_panel(tube, group, {file.where: frozenset(panels[file.where][0]) for file in group}, problems)


_Labels = tuple[tuple[str, ...], tuple[tuple[str, str], ...]]


def _markers(file: Entry) -> _Labels:
    outline = file.outline
    assert outline is not None
    labels = tuple((outline.get(f"P{n}N"), outline.get(f"P{n}S")) for n in range(1, outline.channels + 1))
    return tuple(marker_of_channel(pnn, pns) for pnn, pns in labels), labels


def _lacking(wanted: Iterable[str], labels: _Labels) -> list[str]:
    return [marker for marker in wanted if not find_marker(marker, labels[0], labels[1])]


def _check_same_panel(
    tube: str, group: Sequence[Entry], markers: Mapping[str, frozenset[str]], problems: Problems
) -> None:
    counts = Counter(markers.values())
    if len(counts) < 2:
        return
    (usual, most), (_, second) = counts.most_common(2)
    if most == second:
        names = ", ".join(file.where for file in group[:4]) + (" ..." if len(group) > 4 else "")
        problems.add("samples.csv", f"the files of tube {tube} have {len(counts)} different panels", column="tube_id",
                     value=names)  # fmt: skip
        return
    for file in group:
        own = markers[file.where]
        if own != usual:
            lacks = ", ".join(sorted(m for m in usual - own if not (is_time(m) or is_scatter(m))))
            more = ", ".join(sorted(m for m in own - usual if not (is_time(m) or is_scatter(m))))
            parts = [f"lacks {lacks}" if lacks else "", f"has {more}" if more else ""]
            what = " and ".join(part for part in parts if part) or "has other scatter or time channels"
            problems.add(file.where, f"differs from the {most} other files of tube {tube}: {what}", column="tube_id")


def order_attempts(files: Sequence[Entry], problems: Problems) -> None:
    """Give repeated acquisitions their order: ``attempt`` as the name says it, ``supersedes`` the one before.

    A file of the group whose name says no attempt is the first one only when the clock of the cytometer says so too.
    """
    groups: dict[tuple[str, ...], list[Entry]] = {}
    for file in files:
        if (key := acquisition(file)) is not None:
            groups.setdefault(key, []).append(file)
    for key, group in groups.items():
        if len(group) == 1:
            continue
        loose = [file for file in group if "attempt" not in file.row]
        numbers = [file.row["attempt"] for file in group if "attempt" in file.row]
        if len(loose) == 1 and numbers and 1 not in numbers and _is_first(loose[0], group):
            loose[0].row["attempt"] = 1
            loose, numbers = [], [1, *numbers]
        names = ", ".join(file.where for file in group)
        if loose or len(set(numbers)) != len(numbers):
            problems.add("samples.csv", f"{' '.join(key[:3])} was acquired {len(group)} times without an order",
                         column="attempt", value=names, allowed="one number per attempt")  # fmt: skip
            continue
        ordered = sorted(group, key=lambda file: int(file.row["attempt"]))
        for earlier, later in pairwise(ordered):
            later.row.setdefault("supersedes", earlier.row["sample_id"])
            if _later(earlier, later):
                problems.add(later.where, f"attempt {later.row['attempt']} was acquired before attempt "
                             f"{earlier.row['attempt']} ({earlier.where})", column="attempt")  # fmt: skip


def acquisition(file: Entry) -> tuple[str, ...] | None:
    """What an acquisition is of: subject, visit, tube, role, marker and replicate; None when that is not known."""
    row = file.row
    if not (row.get("usubjid") and row.get("visit") and row.get("tube_id")):
        return None
    return tuple(
        str(row.get(name, ""))
        for name in ("usubjid", "visit", "tube_id", "role", "fmo_marker", "batch_id", "replicate")
    )


def _is_first(file: Entry, group: Sequence[Entry]) -> bool:
    own = file.row.get("acquired_dtc")
    others = [other.row.get("acquired_dtc") for other in group if other is not file]
    return own is not None and all(other is not None and own < other for other in others)


def _later(left: Entry, right: Entry) -> bool:
    first, second = left.row.get("acquired_dtc"), right.row.get("acquired_dtc")
    if first is None or second is None:
        return False
    shortest = min(len(first), len(second))
    return bool(first[:shortest] > second[:shortest])


def check_repeats(files: Sequence[Entry], problems: Problems) -> None:
    """Files with the same content."""
    first: dict[str, Entry] = {}
    for file in files:
        other = first.setdefault(file.row["sha256"], file)
        if other is not file:
            problems.add(file.where, f"has the same content as {other.where}", column="sha256")


def check_dates(files: Sequence[Entry], config: StudyConfig | None, problems: Problems) -> None:
    """Dates that contradict: name and keyword, begin and end, and the order of a subject's visits."""
    for file in files:
        day = kw.parse_date(file.keyword("DATE"))
        said = file.named.get("date")
        if said is not None and day is not None:
            digits = re.sub(r"\D", "", said)
            if digits != day.strftime("%Y%m%d"):
                problems.add(file.where, f"the name says {said}, keyword $DATE {day.isoformat()}",
                             column="acquired_dtc", allowed="dates in names as yyyymmdd")  # fmt: skip
        begin, end = (_seconds(file.keyword(name)) for name in ("BTIM", "ETIM"))
        if begin is not None and end is not None and end < begin:
            problems.add(file.where, "the acquisition ends before it begins ($BTIM, $ETIM): over midnight, or a wrong "
                         "clock", column="acquired_dtc")  # fmt: skip
    if config is None:
        return
    order = {visit.visit: visit.visitnum for visit in config.visits}
    by_subject: dict[str, list[Entry]] = {}
    for file in files:
        row = file.row
        if row.get("usubjid") and row.get("visit") in order and row.get("acquired_dtc"):
            by_subject.setdefault(str(row["usubjid"]), []).append(file)
    for subject, group in sorted(by_subject.items()):
        spans: dict[str, list[str]] = {}
        for file in group:
            spans.setdefault(str(file.row["visit"]), []).append(str(file.row["acquired_dtc"])[:10])
        visits = sorted(spans, key=lambda visit: order[visit])
        for earlier, later in pairwise(visits):
            if max(spans[earlier]) > min(spans[later]):
                problems.add(
                    "samples.csv",
                    f"files of {subject} {later} were acquired on {min(spans[later])}, before those of {earlier} "
                    f"({max(spans[earlier])})",
                    column="visit",
                )


def _seconds(text: str) -> int | None:
    found = re.match(r"(\d{1,2}):(\d{2}):(\d{2})", text)
    return int(found.group(1)) * 3600 + int(found.group(2)) * 60 + int(found.group(3)) if found else None
