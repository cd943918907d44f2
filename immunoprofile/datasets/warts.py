"""The flaws of the synthetic study: each by its name, each in a place that a test can look up."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

from immunoprofile.datasets import parameters as par
from immunoprofile.datasets.cohort import generator

MISSING_VISIT: Final = "missing_visit"
UNSCHEDULED_CBC: Final = "unscheduled_cbc"
TRUNCATED_FCS: Final = "truncated_fcs"
SAME_NAME: Final = "same_name_in_two_folders"
RERUN_TUBE: Final = "rerun_tube"
CMV_NOTATION: Final = "cmv_notation"
CLOG: Final = "clog"
NO_BEADS: Final = "visit_without_beads"

WARTS: Final[dict[str, str]] = {
    MISSING_VISIT: "the visit did not take place (occurred N, MISSED); no sample, no result",
    UNSCHEDULED_CBC: "a blood count between visits; visit is empty",
    TRUNCATED_FCS: "the FCS file ends in the middle of its data",
    SAME_NAME: "two files of one name in different folders",
    RERUN_TUBE: "the tube was run twice; attempt 2 supersedes attempt 1, which stopped early and was clogged",
    CMV_NOTATION: "CMV-DNA written in laboratory ways: <137, not detected, \u672a\u68c0\u51fa, 12,400",
    CLOG: "the flow collapsed for a stretch of the acquisition and the signals shifted",
    NO_BEADS: "no counting beads in the tube and no bead record, but a blood count",
}
TRUNCATED_SHARE: Final = 0.6
"""Share of the bytes of the truncated file that is there."""
FIRST_ATTEMPT_EVENTS: Final = 0.3
SHARED_FILE_NAME: Final = "Specimen_001_Tube_001.fcs"

# wart, preferred subject (row) and visit, tube
_PREFERRED: Final[tuple[tuple[str, int, str, str], ...]] = (
    (MISSING_VISIT, 3, "W8", ""),
    (RERUN_TUBE, 1, "D7", "effector"),
    (TRUNCATED_FCS, 5, "D28", "treg"),
    (CLOG, 6, "D7", "treg"),
    (NO_BEADS, 7, "D28", "count"),
    (SAME_NAME, 0, "D7", "count"),
    (SAME_NAME, 4, "D7", "count"),
)


@dataclass(frozen=True)
class Wart:
    """One flaw: its name, and where it sits (subject row, visit, tube; empty where it has no such place)."""

    name: str
    subject: int
    visit: str
    tube: str = ""
    note: str = ""

    def as_dict(self, usubjid: list[str]) -> dict[str, str]:
        """For the list beside the study."""
        content = {key: str(value) for key, value in asdict(self).items() if key != "subject"}
        return {"usubjid": usubjid[self.subject] if self.subject >= 0 else "", **content}


def place_warts(subjects: int, flow: tuple[str, ...]) -> tuple[Wart, ...]:
    """Give every wart a visit of its own; in a study too small for all of them the last ones are left out.

    Baseline and the primary visit D14 are spared where another visit is free. Files of one name need two places.
    """
    visits = [name for name in flow if name not in ("BL", "D14")] + ["D14"]
    free = [(i, visit) for visit in visits for i in range(subjects)]
    placed: list[Wart] = []
    for name, subject, visit, tube in _PREFERRED:
        if not free:
            break
        place = (subject, visit) if (subject, visit) in free else free[0]
        free.remove(place)
        placed.append(Wart(name, *place, tube=tube, note=WARTS[name]))
    if sum(wart.name == SAME_NAME for wart in placed) == 1:
        placed = [wart for wart in placed if wart.name != SAME_NAME]
    placed.append(Wart(UNSCHEDULED_CBC, min(2, subjects - 1), "", note=WARTS[UNSCHEDULED_CBC]))
    placed.append(Wart(CMV_NOTATION, -1, "", note=WARTS[CMV_NOTATION]))
    return tuple(placed)


def find(warts: tuple[Wart, ...], name: str, subject: int, visit: str, tube: str = "") -> bool:
    """Whether a wart of that name sits at that place."""
    return any(w.name == name and w.subject == subject and w.visit == visit and w.tube == tube for w in warts)


def cmv_text(kind: str, value: float, *, seed: int, subject: int, visit: int, laboratory_ways: bool) -> str:
    """A CMV-DNA result as a laboratory writes it.

    Parameters
    ----------
    kind
        QUANT, BLQ or TND.
    value
        IU/mL of a QUANT result.
    seed, subject, visit
        Choose the notation.
    laboratory_ways
        False gives one plain notation for each kind.
    """
    lloq = f"{par.CMV_LLOQ:.0f}"
    plain = f"{value:.0f}" if kind == "QUANT" else f"<{lloq}" if kind == "BLQ" else "not detected"
    if not laboratory_ways:
        return plain
    forms = {
        "QUANT": (plain, f"{value:,.0f}" if kind == "QUANT" else ""),
        "BLQ": (f"<{lloq}", f"\uff1c{lloq}", f"< {lloq}"),
        "TND": ("not detected", "\u672a\u68c0\u51fa", "TND"),
    }[kind]
    return forms[int(generator(seed, 7, subject, visit).integers(len(forms)))]
