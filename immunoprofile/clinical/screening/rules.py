"""The criteria as data: resources/eligibility.yaml, with what a study changed."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal

from immunoprofile.errors import Problems, StudyError
from immunoprofile.resources import load_yaml
from immunoprofile.schema import CRITERION_KINDS

if TYPE_CHECKING:
    from immunoprofile.io.config import EligibilitySettings

RESOURCE: Final = "eligibility.yaml"
OF_THE_TRIAL: Final = ("seed", "registry")
"""Profiles of the trial itself, which hold every criterion that names no profiles."""

Need = Literal["required", "alternative", "optional"]
Kind = Literal["INCLUSION", "EXCLUSION", "CHECK"]


@dataclass(frozen=True)
class Input:
    """What a criterion reads.

    Attributes
    ----------
    name
        ``table.key``: a column of subjects, a laboratory or screening test, a statement.
    need
        ``required``; ``alternative`` (one of the alternatives of the criterion is needed); ``optional``.
    lookback_d
        Days before the reference date in which a dated record counts, that day included; None is any time before.
    """

    name: str
    need: Need
    lookback_d: int | None = None

    @property
    def key(self) -> str:
        """The part after the table."""
        return self.name.partition(".")[2]


@dataclass(frozen=True)
class Criterion:
    """One criterion: its text, who judges it and on what.

    Attributes
    ----------
    id, kind, text, rule, parent
        As in resources/eligibility.yaml; ``parent`` is empty at the top.
    version
        Version of the rule; what the study changed stands behind it.
    predicate
        Name of the function that judges it; empty for a composite.
    inputs
        Inputs by name.
    agents
        Agents of resources/cmv_confounders.yaml that it asks for.
    """

    id: str
    kind: Kind
    text: str
    rule: str
    version: str
    parent: str
    predicate: str
    inputs: Mapping[str, Input]
    agents: tuple[str, ...] = ()

    def lookback(self, name: str) -> int | None:
        """Days in which a record of an input counts; None is any time before the reference date."""
        return self.inputs[name].lookback_d


@dataclass(frozen=True)
class RuleSet:
    """All criteria of a profile with the parameters in force.

    Attributes
    ----------
    profile, version
        Name of the profile and version of the file.
    criteria
        Criteria by id, in the order of the file.
    parameters
        Value of every parameter.
    plausible
        Laboratory test -> what value and upper limit of normal can be, in the unit of analysis.
    """

    profile: str
    version: str
    criteria: Mapping[str, Criterion]
    parameters: Mapping[str, Any]
    plausible: Mapping[str, Mapping[str, Any]]

    def parts(self, criterion: str) -> tuple[Criterion, ...]:
        """Criteria that a composite is made of."""
        return tuple(one for one in self.criteria.values() if one.parent == criterion)

    def number(self, name: str) -> float | None:
        """A parameter that is a number or null."""
        value = self.parameters[name]
        return None if value is None else float(value)


def load_rules(profile: str, settings: EligibilitySettings | None = None) -> RuleSet:
    """Criteria of a profile, with the parameters and lookbacks of a study.

    Parameters
    ----------
    profile
        ``seed``, ``registry`` or ``successor``.
    settings
        ``StudyConfig.eligibility``; None changes nothing.

    Raises
    ------
    StudyError
        Unknown profile, parameter, criterion or input, or a value that is not allowed; all at once.
    """
    content = _content()
    problems = Problems()
    if profile not in content["profiles"]:
        problems.add("study.yaml", "unknown eligibility profile", column="eligibility_profile", value=profile,
                     allowed=", ".join(content["profiles"]))  # fmt: skip
        raise StudyError("the criteria cannot be loaded", problems.found)
    declared = {
        name: entry for one in content["criteria"].values() for name, entry in one.get("parameters", {}).items()
    }
    values = {name: entry["value"] for name, entry in declared.items()}
    values |= content["profiles"][profile]["parameters"]
    own = dict(settings.parameters) if settings is not None else {}
    lookbacks = {name: dict(days) for name, days in settings.lookback_d.items()} if settings is not None else {}
    for name, value in own.items():
        _check_parameter(name, value, declared, problems)
        values[name] = list(value) if isinstance(value, tuple) else value
    _check_lookbacks(lookbacks, content["criteria"], problems)
    if problems:
        raise StudyError("study.yaml: eligibility is not valid", problems.found, todo="see docs/eligibility.md")
    criteria = {
        name: _criterion(name, entry, own, lookbacks.get(name, {}))
        for name, entry in content["criteria"].items()
        if profile in entry.get("profiles", OF_THE_TRIAL)
    }
    return RuleSet(profile, str(content["version"]), criteria, values, content["plausible"])


@cache
def _content() -> dict[str, Any]:
    return load_yaml(RESOURCE)


def _criterion(name: str, entry: Mapping[str, Any], own: Mapping[str, Any], days: Mapping[str, int]) -> Criterion:
    if entry["kind"] not in CRITERION_KINDS or entry.get("on_missing", "UNKNOWN") != "UNKNOWN":
        raise ValueError(f"{RESOURCE}: {name} has an unknown kind, or lets missing data pass")
    changed = [f"{one}={own[one]}" for one in entry.get("parameters", {}) if one in own]
    if name == "X1" and "i2_blq_counts" in own:
        changed.append(f"i2_blq_counts={own['i2_blq_counts']}")
    changed += [f"{one} within {number} d" for one, number in days.items()]
    inputs = {
        one: Input(one, declared["need"], days.get(one, declared.get("lookback_d")))
        for one, declared in entry.get("inputs", {}).items()
    }
    version = f"{entry['version']} ({', '.join(changed)})" if changed else str(entry["version"])
    return Criterion(
        name, entry["kind"], entry["text"], entry["rule"], version, entry.get("parent", ""), entry.get("predicate", ""),
        inputs, tuple(entry.get("agents", ())),
    )  # fmt: skip


def _check_parameter(name: str, value: object, declared: Mapping[str, Any], problems: Problems) -> None:
    place = f"eligibility.parameters.{name}"
    if name not in declared:
        near = difflib.get_close_matches(name, list(declared), n=1)
        hint = f"did you mean {near[0]}?" if near else ", ".join(declared)
        problems.add("study.yaml", "unknown parameter", column=place, value=name, allowed=hint)
        return
    entry = declared[name]
    if value is None and entry.get("nullable", False):
        return
    if entry["type"] == "number":
        fits = isinstance(value, int | float) and not isinstance(value, bool) and value >= entry["minimum"]
        allowed = f"a number, {entry['minimum']:g} or more" + (", or null" if entry.get("nullable") else "")
    elif entry["type"] == "choice":
        fits, allowed = value in entry["allowed"], ", ".join(entry["allowed"])
    else:
        fits, allowed = isinstance(value, tuple | list), "a list of texts"
    if not fits:
        problems.add("study.yaml", "wrong value", column=place, value=value, allowed=allowed)


def _check_lookbacks(own: Mapping[str, Mapping[str, int]], criteria: Mapping[str, Any], problems: Problems) -> None:
    for name, days in own.items():
        for one, number in days.items():
            place = f"eligibility.lookback_d.{name}.{one}"
            inputs = criteria.get(name, {}).get("inputs", {})
            dated = [key for key, entry in inputs.items() if "lookback_d" in entry]
            if one not in dated:
                allowed = ", ".join(dated) if dated else "a criterion that reads dated records"
                problems.add("study.yaml", "no dated input of that criterion", column=place, value=one, allowed=allowed)
            if number < 0:
                problems.add("study.yaml", "wrong value", column=place, value=number, allowed="0 or more, in days")
