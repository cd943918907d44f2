"""Whether what ``study.yaml`` declares for the statistics exists: populations, readouts, rules, arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from immunoprofile.errors import AnalysisError, Problems, StudyError
from immunoprofile.gate.study_gates import study_gates
from immunoprofile.profiling.functional import readouts
from immunoprofile.tl.plan import check_arguments
from immunoprofile.virology.rulebook import rulebook

if TYPE_CHECKING:
    from immunoprofile.gate.strategy import GateSet
    from immunoprofile.study import Study


def check_plan(study: Study, gates: GateSet) -> None:
    """Refuse a plan that names what the study does not have: a run would find it out after the last file was gated.

    Parameters
    ----------
    study
        From `read_study`.
    gates
        Strategies as loaded; those of the tubes of the study count.

    Raises
    ------
    GateError
        A tube names a template that was not loaded.
    StudyError
        An endpoint, rule or argument of the plan, or a declared functional or virological endpoint, is not
        known: all at once.
    """
    config, problems = study.config, Problems()
    known_readouts = {str(name) for name in readouts(study.functional)["id"]}
    book = rulebook()

    def unknown(column: str, value: str, allowed: set[str], what: str) -> None:
        if value not in allowed:
            problems.add("study.yaml", f"there is no such {what}", column=column, value=value,
                         allowed=", ".join(sorted(allowed)) or "none in this study")  # fmt: skip

    def unknown_rule(column: str, value: str) -> None:
        if value in book.reserved:
            problems.add("study.yaml", f"there is no rule for this definition yet: {book.reserved[value]}",
                         column=column, value=value)  # fmt: skip
        else:
            unknown(column, value, set(book.rules), "CMV rule")

    for functional in config.functional_endpoints:
        unknown("functional_endpoints", functional.readout, known_readouts, "functional readout")
    for endpoint in config.virology_endpoints:
        unknown_rule("virology_endpoints", endpoint.rule)
    if config.plan is not None:
        populations = {name for strategy in study_gates(gates, study).values() for name in strategy.populations}
        for analysis in config.plan.analyses:
            place = f"plan.{analysis.key}"
            functional_only = analysis.measure == "functional"
            for name in analysis.endpoints:
                if name != "all":
                    unknown(f"{place}.endpoints", name, known_readouts if functional_only else populations,
                            "functional readout" if functional_only else "population")  # fmt: skip
            if analysis.rule:
                unknown_rule(f"{place}.rule", analysis.rule)
            try:
                check_arguments(analysis)
            except AnalysisError as refused:
                problems.add("study.yaml", f"{refused.what}; {refused.todo}", column=place)
    if problems:
        raise StudyError("the plan does not fit the study", problems.found, where=config.study_id,
                         todo="see docs/study-folder.md")  # fmt: skip
