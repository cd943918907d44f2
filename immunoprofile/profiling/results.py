"""A results folder and the `Profile` that it holds; it stands on its own, without the FCS files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from immunoprofile import schema
from immunoprofile.errors import NotAvailableError, ResultsError
from immunoprofile.gate.cells import cells_of
from immunoprofile.gate.evaluate import gate_sample
from immunoprofile.gate.exchange import load
from immunoprofile.gate.raster import GateRaster, read_rasters
from immunoprofile.gate.strategy import GateSet
from immunoprofile.io.fcs import read_fcs
from immunoprofile.io.files import replacing, sha256_of, write_json
from immunoprofile.profiling.one_file import read_flags
from immunoprofile.study import Study, read_study

if TYPE_CHECKING:
    import anndata

PROVENANCE = "provenance.json"
VISITS = "visits.h5ad"
RUN_LOG = "run.log"


@dataclass(frozen=True, eq=False)
class Profile:
    """The gated study.

    Attributes
    ----------
    folder
        Results folder.
    study
        The study as it was used (without FCS files when it was read back from the results).
    visits
        AnnData, visits x populations (`schema.VISIT_LAYERS` and the rest name its slots).
    counts, quality, exceptions, virology
        Tables of the results folder.
    gates
        The strategies that were used.
    provenance
        Hashes of inputs and outputs, versions, parameters.
    tables
        The other tables of the folder by name (`schema.RESULT_TABLES`): ``profile.tables["queries"]``.
    """

    folder: Path
    study: Study
    visits: anndata.AnnData
    counts: pd.DataFrame
    quality: pd.DataFrame
    exceptions: pd.DataFrame
    virology: pd.DataFrame
    gates: GateSet
    provenance: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path, *, study: Study | None = None) -> Profile:
        """Read a results folder; ``study`` replaces the copy in the folder, so that its FCS files can be reached."""
        import anndata

        missing = [name for name in (VISITS, "counts.csv", "quality.csv", PROVENANCE) if not (folder / name).is_file()]
        if missing:
            raise ResultsError(
                f"no complete results: {', '.join(missing)} missing",
                where=str(folder),
                todo="run 'immunoprofile run' again with the same --out; it goes on where it stopped",
            )
        visits = anndata.read_h5ad(folder / VISITS)
        for path in sorted((folder / "statistics").glob("*.csv")):
            visits.uns[path.stem] = _read_statistics(path)
        if (folder / "statistics" / "methods.txt").is_file():
            visits.uns[schema.UNS_METHODS] = (folder / "statistics" / "methods.txt").read_text(encoding="utf-8").strip()
        text = {"dtype": str, "keep_default_na": False}
        virology = pd.read_csv(folder / "virology.csv")
        return cls(
            folder=folder,
            study=read_study(folder / "study", require_files=False) if study is None else study,
            visits=visits,
            counts=pd.read_csv(folder / "counts.csv"),
            quality=pd.read_csv(folder / "quality.csv").pipe(_without_missing_text),
            exceptions=pd.read_csv(folder / "exceptions.csv", **text),  # type: ignore[call-overload]
            virology=virology,
            gates=load(folder / "gating" / "templates"),
            provenance=json.loads((folder / PROVENANCE).read_text(encoding="utf-8")),
            tables={
                name: _read_result_table(folder / f"{name}.csv", spec)
                for name, spec in schema.RESULT_TABLES.items()
                if (folder / f"{name}.csv").is_file()
            },
        )

    def rasters(self, sample_id: str) -> tuple[GateRaster, ...]:
        """Gating plots of a sample; empty when the file could not be gated."""
        path = self.folder / "rasters" / f"{sample_id}.npz"
        return read_rasters(path) if path.is_file() else ()

    def event_flags(self, sample_id: str) -> pd.DataFrame:
        """Quality flags of every event of a sample, True where flagged, in the order of the file.

        ``attrs["time_gate"]`` holds the stretches in seconds in which flow and signals were stable: a proposal.

        Raises
        ------
        NotAvailableError
            The file could not be gated.
        """
        path = self.folder / "quality" / f"{sample_id}.npz"
        if not path.is_file():
            raise NotAvailableError("no flags of this sample", where=sample_id, todo="see exceptions.csv")
        flags, gate = read_flags(path)
        table = pd.DataFrame(flags)
        table.attrs["time_gate"] = [(float(begin), float(end)) for begin, end in gate]
        return table

    def sample_of(self, usubjid: str, visit: str, tube: str) -> str | None:
        """Sample that was used for a tube of a visit; None when there is none."""
        own = self.quality[
            (self.quality["usubjid"] == usubjid) & (self.quality["visit"] == visit) & (self.quality["tube"] == tube)
        ]
        used = [str(name) for name in own["sample_id"] if name]
        return used[0] if used else None

    def cells(
        self, population: str, *, per_visit: int | None = 2000, tube: str | None = None, seed: int = 0
    ) -> anndata.AnnData:
        """Cells of one population over all visits, ready for scanpy.

        Parameters
        ----------
        population
            Population id.
        per_visit
            Take at most this many cells of a visit, drawn at random; None takes all.
        tube
            Tube to take them from, by default the reporting tube of the population. CD8 T cells are counted in the
            counting tube, but their CCR7 and HLA-DR are stained in another.
        seed
            Of the random draw; each sample has a stream of its own, so that other samples do not change the draw.

        Returns
        -------
        anndata.AnnData
            Cells x channels as in `gate.cells_of`, with ``usubjid``, ``visit`` and ``arm`` in ``obs``.

        Raises
        ------
        KeyError
            Unknown population, or a tube that does not gate it.
        NotAvailableError
            Neither ``cells/`` nor the FCS files are at hand.
        """
        import anndata

        if population not in self.visits.var_names:
            known = ", ".join(self.visits.var_names)
            msg = f"unknown population {population!r}; known: {known}"
            raise KeyError(msg)
        tube = str(self.visits.var.loc[population, "tube"]) if tube is None else tube
        if tube not in self.gates or population not in self.gates[tube]:
            having = ", ".join(name for name, strategy in self.gates.items() if population in strategy)
            msg = f"tube {tube!r} does not gate {population}; these do: {having}"
            raise KeyError(msg)
        parts = []
        for _, row in self.visits.obs.iterrows():
            sample_id = self.sample_of(str(row["usubjid"]), str(row["visit"]), tube)
            if sample_id is None:
                continue
            part = self._cells_of_sample(sample_id, tube, population, per_visit, seed)
            part.obs["usubjid"] = str(row["usubjid"])
            part.obs["visit"] = str(row["visit"])
            part.obs["arm"] = str(row["arm"])
            parts.append(part)
        if not parts:
            raise NotAvailableError(f"no file of tube {tube} was gated", where=str(self.folder))
        merged = anndata.concat(parts, merge="same", uns_merge="same")
        seen = set(merged.obs["visit"])
        order = [str(visit) for visit in self.visits.obs["visit"].cat.categories if visit in seen]
        merged.obs["visit"] = pd.Categorical(merged.obs["visit"], categories=order, ordered=True)
        for column in ("usubjid", "arm", "sample_id"):
            merged.obs[column] = merged.obs[column].astype("category")
        return merged

    def _cells_of_sample(
        self, sample_id: str, tube: str, population: str, per_visit: int | None, seed: int
    ) -> anndata.AnnData:
        import anndata

        stored = self.folder / "cells" / f"{sample_id}.h5ad"
        digest = int(str(self.provenance["inputs"][self._file(sample_id)])[:15], 16)
        rng = np.random.default_rng([seed, digest])
        if stored.is_file():
            whole = anndata.read_h5ad(stored)
            inside = np.flatnonzero(whole.obs[f"{schema.GATE_PREFIX}{population}"].to_numpy(dtype=bool))
            return whole[_draw(inside, per_visit, rng)].copy()
        try:
            path = self.study.fcs_path(sample_id)
        except KeyError:
            path = None
        if path is None or not path.is_file():
            raise NotAvailableError(
                "the cells need the FCS files or a run with --cells",
                where=sample_id,
                todo="read the study beside its FCS files, or run 'immunoprofile run --cells'",
            )
        declared = self.study.samples.set_index("sample_id").loc[sample_id, "comp_source"]
        gated = gate_sample(read_fcs(path), self.gates[tube], comp_source=None if pd.isna(declared) else str(declared))
        inside = np.flatnonzero(gated.masks[population])
        return cells_of(gated, sample_id, events=_draw(inside, per_visit, rng))

    def _file(self, sample_id: str) -> str:
        return str(self.study.samples.set_index("sample_id").loc[sample_id, "fcs_path"])

    def __repr__(self) -> str:
        left_out = int((self.exceptions["severity"] == "error").sum())
        return (
            f"Profile({self.study.config.study_id!r}: {self.visits.n_obs} visits x {self.visits.n_vars} populations, "
            f"{self.counts['sample_id'].nunique()} files gated, {left_out} left out)"
        )

    def _repr_html_(self) -> str:
        from immunoprofile.profiling.profile_view import profile_view

        return profile_view(self)


def _without_missing_text(table: pd.DataFrame) -> pd.DataFrame:
    """Empty cells of text columns as empty text; numbers stay missing."""
    words = [name for name in table.columns if name != "value"]
    return table.astype(dict.fromkeys(words, object)).fillna(dict.fromkeys(words, ""))


def _read_result_table(path: Path, spec: schema.ResultTable) -> pd.DataFrame:
    """A table of the folder with the kinds of columns that the schema declares."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    for name in spec.numbers:
        table[name] = pd.to_numeric(table[name].replace("", None)).astype("float64")
    for name in spec.flags:
        table[name] = table[name].map({"True": True, "False": False, "Y": True, "N": False}).astype("boolean")
    return table


def _read_statistics(path: Path) -> pd.DataFrame:
    """A table of statistics as it was written: empty text is empty, not missing."""
    try:
        # Exact: the last digit is part of the content that the id of a report stands for.
        table = pd.read_csv(path, float_precision="round_trip")
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    counts = [name for name in schema.STATISTIC_COUNTS if name in table]
    table = table.astype(dict.fromkeys(counts, "Int64"))
    text = {*schema.STATISTIC_TEXT, *schema.PLAN_RUN_COLUMNS[-4:]}
    words = [str(name) for name in table if table[name].dtype == object or name in text]
    table[words] = table[words].astype(object).fillna("")
    return table


def _draw(inside: np.ndarray[Any, Any], at_most: int | None, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    if at_most is None or inside.size <= at_most:
        return inside
    return np.sort(rng.choice(inside, size=at_most, replace=False))


def read_results(folder: str | Path) -> Profile:
    """Read a results folder that `profile` wrote; the FCS files are not needed.

    Raises
    ------
    ResultsError
        The folder holds no complete results.
    """
    return Profile.read(Path(folder))


def write_visits(visits: anndata.AnnData, path: Path) -> None:
    """Write the visits object; it re-reads to the same values."""
    with replacing(path) as temporary:
        visits.write_h5ad(temporary, compression="gzip")


def seal(folder: Path, provenance: Mapping[str, Any]) -> None:
    """Write ``provenance.json`` with the hash of every file of the folder, except itself and ``run.log``."""
    outputs = {name: sha256_of(path) for name, path in _files(folder).items()}
    write_json(folder / PROVENANCE, {**provenance, "outputs": outputs})


def _files(folder: Path) -> dict[str, Path]:
    """Files that a seal covers, by their path relative to the folder."""
    hidden = {PROVENANCE, RUN_LOG}
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in hidden and ".partial" not in path.relative_to(folder).parts
    }


def verify(folder: Path) -> list[str]:
    """Files of a results folder that are not as they were written, or were not written by a run: one line each.

    Raises
    ------
    ResultsError
        There is no provenance to compare with.
    """
    path = folder / PROVENANCE
    if not path.is_file():
        raise ResultsError("there is no provenance.json", where=str(folder))
    expected: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))["outputs"]
    lines = []
    for name, digest in sorted(expected.items()):
        if not (folder / name).is_file():
            lines.append(f"missing: {name}")
        elif sha256_of(folder / name) != digest:
            lines.append(f"changed: {name}")
    unexpected = set(_files(folder)) - set(expected)
    return lines + [f"not written by a run: {name}" for name in sorted(unexpected)]
