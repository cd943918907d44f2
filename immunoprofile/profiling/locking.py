"""Freeze a study as a data cut, and hold a study against the cut that is in force."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from immunoprofile._version import __version__
from immunoprofile.errors import GateError, Problems, ResultsError, StudyError
from immunoprofile.gate.ledger import LEDGER, parse_ledger, read_ledger
from immunoprofile.io.data_cuts import FOLDER as CUTS
from immunoprofile.io.data_cuts import NEW_CUT, DataCut, cuts_of, write_cut
from immunoprofile.io.files import sha256_of
from immunoprofile.io.inputs import read_plain, reason
from immunoprofile.io.software import package_digest, rule_hashes
from immunoprofile.profiling.sealing import read_provenance

if TYPE_CHECKING:
    from immunoprofile.gate.study_gates import StudyGates
    from immunoprofile.study import Study

GOES_ON: Final = frozenset({"reviews", "queries"})
"""Tables in which people answer the reports of a cut: they are not frozen with it."""


def lock(study: Study, gates: StudyGates, cut: str, *, opened: bool = False) -> DataCut:
    """Freeze data, gates and rules of a study as a data cut, or open the next one.

    Parameters
    ----------
    study, gates
        The study, and its gates (`gate.check`).
    cut
        Name of the cut.
    opened
        Begin a cut: the study may change until it is closed by `lock` with the same name.

    Returns
    -------
    DataCut

    Raises
    ------
    StudyError
        The name is taken, another cut is open, a file is missing, or an earlier cut is not as it was written.
    OutputError
        The cut cannot be written.
    """
    time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    content = None if opened else frozen(study, gates)
    return write_cut(study.folder, DataCut(cut, 0, study.config.study_id, "open" if opened else "closed", time,
                                       frozen=content))  # fmt: skip


def frozen(study: Study, gates: StudyGates) -> dict[str, Any]:
    """What a cut freezes: hashes of tables, FCS files, gates and rules, head of the ledger, version of the package.

    Raises
    ------
    StudyError
        Files that cannot be read, all at once.
    """
    files, problems = dict[str, str](), Problems()
    names = [name for name in study.inputs if Path(name).stem not in GOES_ON]
    names += [path.relative_to(study.folder).as_posix() for path in _gate_files(study.folder)]
    names += sorted(set(study.samples["fcs_path"].astype(str).str.replace("\\", "/")))
    for name in dict.fromkeys(names):
        try:
            files[name] = sha256_of(study.folder / name)
        except OSError as error:
            problems.add(name, f"cannot be read: {reason(error)}")
    if problems:
        raise StudyError("the study cannot be locked", problems.found, where=str(study.folder))
    return {
        "files": files,
        "gates": {tube: gates.sha256(tube) for tube in gates},
        "ledger": gates.ledger.facts,
        "rules": dict(rule_hashes()),
        "package": {"version": __version__, "sha256": package_digest()},
    }


def _gate_files(folder: Path) -> list[Path]:
    found = [path for path in (folder / "gating").rglob("*") if path.is_file() and not path.name.startswith(".")]
    return sorted(path for path in found if path != folder / LEDGER)


def damage(folder: Path, results: Iterable[Path] = ()) -> list[str]:
    """What of ledger, cuts and locked files of a study folder is not as it was written, one line each.

    The tables need not be readable: a changed byte is named whatever it does to them.

    Parameters
    ----------
    folder
        Study folder.
    results
        Results folders whose head of the ledger is held against it.
    """
    lines: list[str] = []
    ledger = None
    try:
        ledger = read_ledger(folder)
    except GateError as error:
        lines += [str(problem) for problem in error.problems]
    try:
        cuts = cuts_of(folder)
    except StudyError as error:
        return lines + [str(problem) for problem in error.problems]
    for cut in cuts:
        if ledger is not None and cut.frozen is not None and not ledger.begins_with(cut.frozen["ledger"]):
            lines.append(f"{LEDGER}: rows that were there at cut {cut.name} are gone or changed")
    for place in results:
        provenance = read_provenance(place)
        if lost := _lost_cut(cuts, provenance):
            lines.append(f"{lost}, with which the results in {place} were made, is gone or was written anew")
        facts = provenance.get("ledger") or {"rows": 0}
        if ledger is not None and not ledger.begins_with(facts):
            lines.append(f"{LEDGER}: the {facts['rows']} rows that the results in {place} were made with, up to head "
                         f"{facts['head']}, are not all there")  # fmt: skip
    last = cuts[-1] if cuts and cuts[-1].state == "closed" else None
    if last is not None and last.frozen is not None:
        lines += [f"{line} since cut {last.name}" for line in _changed_files(folder, last.frozen["files"])]
        if ledger is not None and len(ledger) > last.frozen["ledger"]["rows"]:
            lines.append(f"{LEDGER}: rows were added since cut {last.name}")
        lines += [f"{line} since cut {last.name}" for line in _changed_software(last.frozen)]
    return lines


def _lost_cut(cuts: Iterable[DataCut], provenance: Mapping[str, Any]) -> str:
    """File of the closed cut that results were made of, where the study does not have it as it was; else empty.

    The chain of the cuts tells that one is missing between others; the last of them is missed by results only.
    """
    kept = provenance.get("cut") or {}
    if kept.get("state") != "closed" or any(cut.sha256 == kept.get("sha256") for cut in cuts):
        return ""
    return f"{CUTS}/{kept.get('cut')}.json: the closed cut {kept.get('cut')}"


def _changed_files(folder: Path, files: Mapping[str, str]) -> list[str]:
    lines = []
    for name, sha in files.items():
        try:
            if sha256_of(folder / name) != sha:
                lines.append(f"{name}: was changed")
        except FileNotFoundError:
            lines.append(f"{name}: is missing")
        except OSError as error:
            lines.append(f"{name}: cannot be read ({reason(error)})")
    new = [path.relative_to(folder).as_posix() for path in _gate_files(folder)]
    return lines + [f"{name}: was added" for name in new if name not in files]


def _changed_software(content: Mapping[str, Any]) -> list[str]:
    now, then = rule_hashes(), content["rules"]
    lines = [f"rules {name}: were changed" for name in sorted({*now, *then}) if now.get(name) != then.get(name)]
    package = content["package"]
    if package["version"] != __version__:
        lines.append(f"package: version {package['version']} is {__version__} now: it was changed")
    elif package["sha256"] != package_digest():
        lines.append(f"package: another build of version {__version__}: it was changed")
    return lines


def hold_to_cut(study: Study, gates: StudyGates) -> dict[str, Any]:
    """Refuse a study that is not as it was locked.

    Returns
    -------
    dict
        What results keep of the last cut (`DataCut.facts`); empty for a study that was never locked.

    Raises
    ------
    StudyError
        Everything that changed since the cut that is in force, by name.
    """
    cut = next(reversed(cuts_of(study.folder)), None)
    if cut is None or cut.state == "open":
        return {} if cut is None else cut.facts
    lines = damage(study.folder)
    content: Mapping[str, Any] = cut.frozen or {}
    for name in study.inputs:
        if name not in content["files"] and Path(name).stem not in GOES_ON:
            lines.append(f"{name}: was added since cut {cut.name}")
    for tube in gates:
        if gates.sha256(tube) != content["gates"].get(tube):
            lines.append(f"gates of tube {tube}: are others since cut {cut.name}")
    if lines:
        problems = Problems()
        for line in lines:
            where, _, what = line.partition(": ")
            problems.add(where, what)
        raise StudyError(f"the study is locked by cut {cut.name} and is not as it was", problems.found,
                         where=str(study.folder), todo=NEW_CUT)  # fmt: skip
    return cut.facts


def refuse_lost_history(study: Study, gates: StudyGates, out: Path) -> None:
    """Refuse a study that lost the cut, or rows of the ledger, with which the results in a folder were made.

    Raises
    ------
    StudyError
        The study does not have the closed cut of the results, or has another one of its name.
    GateError
        The ledger of the study does not begin with the copy in the results.
    """
    try:
        provenance = read_provenance(out)
    except ResultsError:
        provenance = {}  # no results, or none that ended: nothing was issued from them
    if lost := _lost_cut(cuts_of(study.folder), provenance):
        problems = Problems()
        where, _, what = lost.partition(": ")
        problems.add(where, f"{what}, with which the results in {out} were made, is gone or was written anew")
        raise StudyError("the study lost a data cut", problems.found, where=study.config.study_id,
                         todo=f"bring back {where}, or take another folder")  # fmt: skip
    try:
        kept = parse_ledger(read_plain(out / LEDGER), str(out))
    except (OSError, GateError):
        return  # no results, or damaged ones, which are written anew
    if kept.content and not gates.ledger.begins_with(kept.facts):
        problems = Problems()
        problems.add(LEDGER, f"the {len(kept)} rows that the results in {out} were made with are not all there",
                     value=f"{len(gates.ledger)} rows")  # fmt: skip
        raise GateError("the ledger of overrides lost rows", problems.found, where=study.config.study_id,
                        todo="bring it back (the results hold a copy), or take another folder")  # fmt: skip
