"""The CMV rules as data: resources/cmv_rules.yaml, with parameters that a caller may change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache

from immunoprofile.errors import AnalysisError
from immunoprofile.resources import load_yaml
from immunoprofile.schema import CMV_RULE_RESULTS


@dataclass(frozen=True)
class Rule:
    """One definition.

    Attributes
    ----------
    id, version
        Name and version; a changed parameter appends ``+changed`` to the version.
    text
        The definition in words.
    source, tag
        Where it comes from; V seen in the source, K general knowledge (a clinician must confirm it), A this project.
    required
        Inputs without which the rule is not evaluable.
    optional
        Inputs that it uses when they are there.
    parameters
        Numbers of the definition: days, and log10.
    on_missing
        Result when a required input is missing, where it is not NOT_EVALUABLE.
    genes
        Genes whose mutations count (rule ``resistant``).
    """

    id: str
    version: str
    text: str
    source: str
    tag: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    parameters: Mapping[str, float] = field(default_factory=dict)
    on_missing: Mapping[str, str] = field(default_factory=dict)
    genes: tuple[str, ...] = ()
    compared: bool = True
    """Arms may be compared by it: false where results before treatment can meet it."""

    @property
    def describes_baseline(self) -> bool:
        """Whether it judges the baseline alone: a fact of who entered, no response."""
        return "baseline" in self.required and "results" not in self.required


@dataclass(frozen=True)
class RuleBook:
    """All rules, the inputs that they name, and the caveat that is printed with them."""

    version: str
    caveat: str
    inputs: Mapping[str, str]
    rules: Mapping[str, Rule]
    reserved: Mapping[str, str]
    """Ids kept for definitions whose text a clinician must enter first -> why there is no rule."""
    concepts: Mapping[str, tuple[str, ...]]
    """What several rules define -> these rules."""

    @property
    def baseline_window_days(self) -> int:
        """Days before the first dose within which a result can be the baseline."""
        return int(self.rules["baseline"].parameters["window_days"])


def rulebook(changes: Mapping[str, Mapping[str, float]] | None = None) -> RuleBook:
    """The rules that ship with the package.

    Parameters
    ----------
    changes
        Rule id -> parameter -> value, in place of those that ship. The version of such a rule says so.

    Raises
    ------
    AnalysisError
        A change names a rule or parameter that does not exist.

    Examples
    --------
    >>> rulebook({"clearance_2": {"days_apart": 7}}).rules["clearance_2"].version
    '1+changed'
    """
    book = _shipped()
    rules = dict(book.rules)
    for name, parameters in (changes or {}).items():
        if name in book.reserved:
            raise AnalysisError(f"there is no rule for {name} yet", todo=book.reserved[name])
        if name not in rules:
            raise AnalysisError(f"there is no CMV rule {name!r}", todo=f"one of: {', '.join(rules)}")
        known = rules[name].parameters
        unknown = sorted(set(parameters) - set(known))
        if unknown:
            raise AnalysisError(
                f"rule {name} has no parameter {', '.join(unknown)}", todo=f"one of: {', '.join(known) or 'none'}"
            )
        if any(known[key] != value for key, value in parameters.items()):
            rules[name] = replace(
                rules[name], parameters={**known, **parameters}, version=f"{rules[name].version}+changed"
            )
    return replace(book, rules=rules)


@cache
def _shipped() -> RuleBook:
    content = load_yaml("cmv_rules.yaml")
    rules = {name: _rule(name, entry, content["inputs"]) for name, entry in content["rules"].items()}
    concepts = {name: tuple(of) for name, of in content["concepts"].items()}
    unknown = sorted({one for of in concepts.values() for one in of} - set(rules))
    if unknown:
        raise AnalysisError(f"concepts name {', '.join(unknown)}", where="cmv_rules.yaml")
    return RuleBook(content["version"], content["caveat"], content["inputs"], rules, content["reserved"], concepts)


def _rule(name: str, entry: Mapping[str, object], inputs: Mapping[str, str]) -> Rule:
    rule = Rule(name, **{key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()})  # type: ignore[arg-type]
    unknown = {*rule.required, *rule.optional, *rule.on_missing} - set(inputs)
    wrong = set(rule.on_missing.values()) - set(CMV_RULE_RESULTS)
    if unknown or wrong:
        raise AnalysisError(f"rule {name} names {', '.join(sorted(unknown | wrong))}", where="cmv_rules.yaml")
    return rule
