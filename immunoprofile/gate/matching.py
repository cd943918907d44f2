"""Which gates belong to which file: the one place that answers it, for one file and for many.

A template fits every file of its panel. A FlowJo workspace, and gates that were moved for single samples, name the
files that they were made for; a file gets the gates of its own sample, told by what the document and the file both
say (docs/how-a-file-meets-its-gates.md has the rules). Several candidates and contradictions are named, never guessed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from immunoprofile.errors import GateError, ImmunoprofileError, Problem, Problems
from immunoprofile.gate.binding import find_channels
from immunoprofile.gate.known import ACQUISITION, HINTS, KnownSample
from immunoprofile.gate.overrides_in_force import for_names
from immunoprofile.gate.strategy import GateSet, Strategy
from immunoprofile.io.fcs_outline import read_outline
from immunoprofile.io.files import sha256_of

if TYPE_CHECKING:
    from immunoprofile.io.fcs import Sample

FILE_NAME, FIL, TOT, SAMPLE_NAME, TIME = "file name", "$FIL", "$TOT", "sample name", "date and time of acquisition"

TELL_APART = "give each file the name that the workspace has for it, or save its sample under another name in FlowJo"


@dataclass(frozen=True)
class Match:
    """The gates of one file.

    Attributes
    ----------
    strategy
        Its gates: those of its sample put in, and no others kept.
    sample
        The sample of the document that the file is; None where the gates were found by the panel.
    by
        What the file and the sample have in common.
    problems
        What a person should know before trusting the counts: contradictions that leave no doubt which sample it is,
        gates of other samples.
    """

    strategy: Strategy
    sample: KnownSample | None = None
    by: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Facts:
    """What a file and a sample of a document have in common, and in what they differ.

    Attributes
    ----------
    agrees, differs
        Names of the facts that both state.
    folders
        Number of folders above the file that are called the same, counted from the file upward.
    """

    agrees: frozenset[str] = frozenset()
    differs: frozenset[str] = frozenset()
    folders: int = 0

    def beats(self, other: Facts) -> bool:
        """Whether nothing speaks for the other, and something against it."""
        ahead = self.agrees >= other.agrees and self.differs <= other.differs and self.folders >= other.folders
        return ahead and self != other

    @property
    def proven(self) -> bool:
        """Whether number of events and time of acquisition are the same: one acquisition, whatever it is called."""
        known = self.agrees & {"GUID", "$BTIM"}
        return TOT in self.agrees and bool(known) and not self.differs & _TIME_FACTS

    @property
    def contradictions(self) -> tuple[str, ...]:
        """What speaks against the sample; keywords of the acquisition count as one."""
        found = [name for name in (FILE_NAME, FIL, TOT) if name in self.differs]
        return (*found, TIME) if self.differs & _TIME_FACTS else tuple(found)

    def __str__(self) -> str:
        same = f"the same: {', '.join(sorted(self.agrees)) or 'nothing'}"
        return f"{same}; different: {', '.join(sorted(self.differs))}" if self.differs else same


def _label(keyword: str) -> str:
    """A keyword as people write it: with ``$`` where the standard has it."""
    plain = ("guid", "tube name", "experiment name", "sample id")
    return keyword.upper() if keyword in plain else f"${keyword.upper()}"


_TIME_FACTS = frozenset(_label(name) for name in ACQUISITION)


@dataclass(frozen=True)
class _File:
    """What a file says of itself."""

    name: str
    folders: tuple[str, ...]
    keywords: Mapping[str, str]
    n_events: int

    @classmethod
    def of(cls, sample: Sample, path: Path | None) -> _File:
        name = path.name if path is not None else sample.name
        folders = tuple(part for part in path.absolute().parts[:-1]) if path is not None else ()
        return cls(name, folders, sample.keywords, sample.n_events)

    def keyword(self, name: str) -> str:
        return _plain(self.keywords.get(name, ""))

    @property
    def total(self) -> str:
        return self.keyword("tot") or (str(self.n_events) if self.n_events else "")


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def _stem(name: str) -> str:
    low = _plain(name)
    return low.removesuffix(".fcs").removesuffix(".lmd")


def facts_of(file: _File, known: KnownSample) -> Facts:
    """Compare a file with a sample; what either does not state is no fact."""
    agrees: set[str] = set()
    differs: set[str] = set()

    def note(fact: str, *, same: bool) -> None:
        (agrees if same else differs).add(fact)

    names = {_plain(name) for name in (known.file, known.keyword("fil")) if name}
    if names:
        note(FILE_NAME, same=_plain(file.name) in names)
    recorded = file.keyword("fil")
    if recorded and names:
        kept = _plain(known.keyword("fil")) or _plain(known.file)
        note(FIL, same=recorded == kept)
    if {_stem(known.name)} & {_stem(file.name), _stem(recorded)}:
        note(SAMPLE_NAME, same=True)
    total = _plain(known.keyword("tot"))
    if total and file.total:
        note(TOT, same=total.lstrip("0") == file.total.lstrip("0"))
    for keyword in (*ACQUISITION, *HINTS):
        here, there = file.keyword(keyword), _plain(known.keyword(keyword))
        if here and there:
            note(_label(keyword), same=here == there)
    shared = 0
    for here, there in zip(reversed(file.folders), reversed(known.folders), strict=False):
        if _plain(here) != _plain(there):
            break
        shared += 1
    return Facts(frozenset(agrees), frozenset(differs), shared)


@dataclass
class _Candidate:
    known: KnownSample
    strategy: Strategy | None
    facts: Facts = field(default_factory=Facts)

    @property
    def gates(self) -> Strategy | None:
        return None if self.strategy is None else self.strategy.for_sample(self.known.sample_id)


class Matcher:
    """Finds the gates of files; see `match`. Made once for many files.

    Parameters
    ----------
    gates
        A strategy, or a set of them.
    files
        All files of one call: those that must not be gated since another of them is their sample are refused.

    Attributes
    ----------
    refused
        Path -> why it is refused, whatever `match` would say of it alone.
    """

    def __init__(self, gates: GateSet | Strategy, files: Iterable[Path] = ()) -> None:
        self.gates = gates
        strategies = (gates,) if isinstance(gates, Strategy) else tuple(gates.values())
        self._known = [_Candidate(known, s) for s in strategies for known in (*s.samples, *_by_name_only(s))]
        if isinstance(gates, GateSet):
            self._known += [_Candidate(known, None) for known in gates.ungated]
        self._by_name: dict[str, list[int]] = {}
        self._by_total: dict[str, list[int]] = {}
        for position, one in enumerate(self._known):
            known = one.known
            for name in {_stem(name) for name in (known.file, known.keyword("fil"), known.name) if name}:
                self._by_name.setdefault(name, []).append(position)
            self._by_total.setdefault(known.keyword("tot").strip(), []).append(position)
        self.refused: dict[Path, GateError] = self._contested(files) if self._known else {}

    @property
    def sha256(self) -> list[str]:
        """Hashes of the gates, in their order."""
        strategies = (self.gates,) if isinstance(self.gates, Strategy) else tuple(self.gates.values())
        drawn = repr(self.gates.overrides) if isinstance(self.gates, GateSet) and self.gates.overrides else ""
        own = [hashlib.sha256(drawn.encode()).hexdigest()] if drawn else []
        return [*(strategy.sha256 for strategy in strategies), *own]

    @property
    def knows_samples(self) -> bool:
        """Whether the gates name the files that they were made for."""
        return bool(self._known)

    def match(self, sample: Sample, path: Path | None = None) -> Match:
        """Gates of one file; see `match`."""
        found = self._match(sample, path)
        if not isinstance(self.gates, GateSet) or not self.gates.overrides:
            return found
        name = path.name if path is not None else sample.name
        return replace(found, strategy=for_names(self.gates, found.strategy, (name, Path(name).stem)))

    def _match(self, sample: Sample, path: Path | None) -> Match:
        if path in self.refused:
            raise self.refused[path]
        if not self._known:
            return Match(self._by_panel(sample))
        file = _File.of(sample, path)
        chosen, others = self._choose(file)
        if chosen is None:
            return self._unknown(sample, file)
        gates = chosen.gates
        if gates is None:
            where = f"sample {chosen.known.name}"
            problems = [Problem(f"{where}, gate {g}" if g else where, reason) for g, reason in chosen.known.left_out]
            problems = problems or [Problem(where, "has no gates in the workspace")]
            raise GateError("the sample of the file has no gates that can be read", problems, where=file.name,
                            todo="give the sample its gates in FlowJo and save the workspace")  # fmt: skip
        by = tuple(sorted(chosen.facts.agrees))
        return Match(gates, chosen.known, by, tuple(_doubts(file, chosen, others)))

    def _choose(self, file: _File) -> tuple[_Candidate | None, list[_Candidate]]:
        """The sample that a file is, and the others that have its name.

        Raises
        ------
        GateError
            Several could be it, or the one that could contradicts the file.
        """
        linked = self._linked(file)
        if not linked:
            return None, []
        proven = [one for one in linked if one.facts.proven]
        best = _undominated(proven or linked)
        if len(best) > 1 and not _alike(best):
            problems = [Problem(f"sample {one.known.name}{_uri(one.known)}", str(one.facts)) for one in best]
            raise GateError("several samples of the workspace could be the file", problems, where=file.name,
                            todo=TELL_APART)  # fmt: skip
        chosen = best[0]
        against = chosen.facts.contradictions
        if len(against) > 1 and not chosen.facts.proven:
            problem = Problem(f"sample {chosen.known.name}{_uri(chosen.known)}", str(chosen.facts))
            raise GateError("the file has the name of a sample and is another acquisition", [problem], where=file.name,
                            todo=TELL_APART)  # fmt: skip
        return chosen, [one for one in linked if one is not chosen]

    def _linked(self, file: _File) -> list[_Candidate]:
        """Samples that the names, or else number of events and time of acquisition, connect with a file."""
        names = {_stem(file.name), _stem(file.keyword("fil"))} - {""}
        found = self._compared(file, (p for name in names for p in self._by_name.get(name, ())))
        by_file = [one for one in found if one.facts.agrees & {FILE_NAME, FIL}]
        whole = [one for one in by_file if FILE_NAME in one.facts.agrees and FIL not in one.facts.differs]
        # A typed name counts only where the name of the file does not settle it.
        linked = by_file if whole else [one for one in found if one.facts.agrees & {FILE_NAME, FIL, SAMPLE_NAME}]
        if linked:
            return linked
        return [one for one in self._compared(file, self._by_total.get(file.total, ())) if one.facts.proven]

    def _compared(self, file: _File, positions: Iterable[int]) -> list[_Candidate]:
        found = [self._known[position] for position in sorted(set(positions))]
        return [replace(one, facts=facts_of(file, one.known)) for one in found]

    def _unknown(self, sample: Sample, file: _File) -> Match:
        strategy = self._by_panel(sample)
        problems: list[Problem] = []
        trees = 1 if isinstance(self.gates, Strategy) else sum(bool(one.samples) for one in self.gates.values())
        if strategy.samples and (strategy.custom or trees > 1):
            what = f"is no sample of the workspace; it gets the gates that most samples of {strategy.tube} have"
            problems.append(Problem(file.name, what))
        return Match(strategy.for_sample(""), problems=tuple(problems))

    def _by_panel(self, sample: Sample) -> Strategy:
        """The strategy whose panel the file has; of several the one that uses most markers."""
        if isinstance(self.gates, Strategy):
            return self.gates
        problems = Problems()
        fitting: list[Strategy] = []
        for strategy in self.gates.values():
            lacking = Problems()
            find_channels(strategy, sample, lacking)
            if lacking:
                problems.found.extend(lacking.found)
            else:
                fitting.append(strategy)
        if not fitting:
            raise GateError("no template fits the panel of the file", problems.found, where=sample.name)
        most = max(len(strategy.markers) for strategy in fitting)
        best = [strategy for strategy in fitting if len(strategy.markers) == most]
        if len(best) > 1:
            fits = [Problem(sample.name, f"fits the template of tube {strategy.tube}") for strategy in best]
            raise GateError("several templates fit the file equally well", fits,
                            todo="pass the strategy of one tube")  # fmt: skip
        return best[0]

    def _contested(self, files: Iterable[Path]) -> dict[Path, GateError]:
        """Files of which another is, or may be, the sample that they could be.

        Copies with the same content may share a sample. Of files with different content the one of which more facts
        speak for the sample keeps it; where none has more, all are refused. Files that cannot be read are passed over.
        """
        claims: dict[str, list[tuple[Path, Facts]]] = {}
        for path in dict.fromkeys(files):
            try:
                outline = read_outline(path)
                words = {keyword.bare.lower(): keyword.text for keyword in outline.keywords}
                chosen, _ = self._choose(_File(path.name, path.absolute().parts[:-1], words, 0))
            except (ImmunoprofileError, OSError):
                continue  # told when the file is gated
            if chosen is not None:
                claims.setdefault(chosen.known.sample_id, []).append((path, chosen.facts))
        names = {one.known.sample_id: one.known.name for one in self._known}
        refused: dict[Path, GateError] = {}
        for sample_id, claimants in claims.items():
            if len(claimants) > 1:
                refused |= _settle(names[sample_id], claimants)
        return refused


def _by_name_only(strategy: Strategy) -> list[KnownSample]:
    """Samples that have gates of their own and of which nothing but the name is known."""
    told = {known.sample_id for known in strategy.samples}
    return [KnownSample(name, name) for name in strategy.custom_samples if name not in told]


def _undominated(candidates: Sequence[_Candidate]) -> list[_Candidate]:
    return [one for one in candidates if not any(other.facts.beats(one.facts) for other in candidates)]


def _alike(candidates: Sequence[_Candidate]) -> bool:
    """Whether samples have the same gates in the same units, so that it does not matter which one a file is."""
    first = candidates[0]

    def what(one: _Candidate) -> object:
        gates = one.gates
        return None if gates is None else (gates.tube, gates.gates, one.known.axes)

    return first.strategy is not None and all(what(one) == what(first) for one in candidates)


def _uri(known: KnownSample) -> str:
    return f" ({known.uri})" if known.uri else ""


def _doubts(file: _File, chosen: _Candidate, others: Sequence[_Candidate]) -> list[Problem]:
    """What does not fit, though it leaves no doubt which sample a file is."""
    where = f"sample {chosen.known.name}"
    found = []
    against = set(chosen.facts.contradictions)
    if TOT in against:
        here, there = _number(file.total), _number(chosen.known.keyword("tot"))
        found.append(Problem(where, f"the file has {here} events, the sample of the workspace {there}"))
    if TIME in against:
        told = "; ".join(
            f"{_label(name)} {file.keyword(name)}, in the workspace {_plain(chosen.known.keyword(name))}"
            for name in ACQUISITION
            if _label(name) in chosen.facts.differs
        )
        found.append(Problem(where, f"was acquired at another time than the file: {told}"))
    if FIL in against and not chosen.facts.proven and TOT not in chosen.facts.agrees:
        what = f"$FIL of the file is {file.keyword('fil')}, in the workspace {chosen.known.keyword('fil')}"
        found.append(Problem(where, what))
    if FILE_NAME in against:
        found += [
            Problem(where, f"is the file by its content, which has the file name of sample {one.known.name}")
            for one in others
            if FILE_NAME in one.facts.agrees
        ]
    return found


def _number(text: str) -> str:
    return f"{int(text):,}" if text.strip().isdigit() else text


def match(sample: Sample, gates: GateSet | Strategy, *, path: Path | None = None) -> Match:
    """The gates of one file; `Matcher` asks for all files of a call together, `StudyGates.match` for those of a tube.

    Parameters
    ----------
    sample
        The file; its events are not needed.
    gates
        A strategy, or a set of them.
    path
        Where the file lies; its folders tell apart samples whose files have one name.

    Returns
    -------
    Match
        Gates of the sample that the file is. A file that no sample knows gets the strategy of its panel: of several
        that fit, the one that uses most markers, since a small panel fits into a large one.

    Raises
    ------
    GateError
        Several samples could be the file, or it contradicts the one that has its name, or its sample has no gates;
        no strategy fits the panel, or several do. All candidates are named with what speaks for and against them.
    """
    return Matcher(gates).match(sample, path)


def _settle(name: str, files: Sequence[tuple[Path, Facts]]) -> dict[Path, GateError]:
    content = {path: sha256_of(path) for path, _ in files}

    def wins(path: Path, facts: Facts) -> bool:
        return all(facts.beats(other) for at, other in files if content[at] != content[path])

    winners = {content[path] for path, facts in files if wins(path, facts)}
    best = [path for path in content if content[path] in winners]
    refused: dict[Path, GateError] = {}
    for path, facts in files:
        if path in best:
            continue
        others = [(at, other) for at, other in files if content[at] != content[path] and (not best or at in best)]
        problems = [Problem(at.as_posix(), str(other)) for at, other in [(path, facts), *others]]
        refused[path] = GateError(f"sample {name} of the workspace is another file" if best
                                  else f"several files could be sample {name} of the workspace",
                                  problems, where=path.name, todo=TELL_APART)  # fmt: skip
    return refused
