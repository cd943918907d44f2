"""Who was eligible: the matrix of subjects and criteria, with what is unknown."""

from __future__ import annotations

from typing import Any, Final

from immunoprofile.report.cohort_view import CohortView
from immunoprofile.report.content import Block, Bullets, Cell, Column, Table, Text, not_available

STATE_TEXT: Final[dict[str, str]] = {
    "PASS": "✓", "FAIL": "✕ fail", "UNKNOWN": "? unknown", "NOT_APPLICABLE": "–",
}  # fmt: skip


def matrix(view: CohortView) -> tuple[Block, ...]:
    """One row a subject, one column a criterion; an override stands beside what was computed."""
    criteria, overall = view.table("eligibility"), view.table("eligibility_overall")
    if criteria is None or overall is None:
        return not_available("Eligibility", "the run did not judge it (no eligibility.csv in its results)")
    if not criteria:
        return ()
    shown = [one for one in criteria if not one["parent"]]
    names = list(dict.fromkeys(one["criterion"] for one in shown))
    cells = {(one["usubjid"], one["criterion"]): one for one in shown}
    verdicts = {one["usubjid"]: one for one in overall}
    rows = tuple(
        (
            Cell(subject),
            *(_cell(cells.get((subject, name))) for name in names),
            _overall(verdicts.get(subject)),
        )
        for subject in view.source.subjects
    )
    profiles = ", ".join(dict.fromkeys(one["profile"] for one in criteria))
    versions = ", ".join(dict.fromkeys(one["rule_version"] for one in criteria))
    caption = (
        f"Profile {profiles}, rules version {versions}. ✓ met (an exclusion: absent), – not applicable; unknown is not "
        "a pass. * an investigator decided otherwise than the computed state; both are shown. Parts of a criterion and "
        "explanations stand in eligibility.csv."
    )
    head = (Column("Subject"), *(Column(name) for name in names), Column("Overall"))
    return (_counts(overall), Table(head, rows, "By subject and criterion", caption, "eligibility"), _legend(shown))


def _cell(one: dict[str, Any] | None) -> Cell:
    if one is None:
        return Cell("not judged")
    state, override = one["state"], one["override"]
    words = STATE_TEXT.get(state, state)
    if override:
        words = f"{words}, *{STATE_TEXT.get(override, override)}"
    effective = override or state
    return Cell(words, mark={"FAIL": "GRADE_HIGH", "UNKNOWN": "RULE_NOT_EVALUABLE"}.get(effective, ""))


def _overall(one: dict[str, Any] | None) -> Cell:
    if one is None:
        return Cell("not judged")
    state = one["state"]
    mark = {"INELIGIBLE": "GRADE_HIGH", "INDETERMINATE": "RULE_NOT_EVALUABLE"}.get(state, "")
    return Cell(state.casefold(), mark=mark)


def _counts(overall: list[dict[str, Any]]) -> Text:
    states = [one["state"] for one in overall]
    words = ", ".join(f"{states.count(state)} {state.casefold()}" for state in dict.fromkeys(sorted(states)))
    return Text(f"{len(states)} subjects judged: {words}.")


def _legend(shown: list[dict[str, Any]]) -> Bullets:
    texts = dict.fromkeys(f"{one['criterion']} ({one['kind'].casefold()}): {one['text']}" for one in
                          shown)  # fmt: skip
    return Bullets(tuple(texts), "Criteria")
