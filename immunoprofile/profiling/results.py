"""A results folder and the `Profile` that it holds; it stands on its own, without the FCS files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from immunoprofile import schema
from immunoprofile.errors import NotAvailableError, ResultsError
from immunoprofile.gate.cells import cells_of
from immunoprofile.gate.evaluate import GatedSample, gate_sample
from immunoprofile.gate.exchange import load, with_places_of
from immunoprofile.gate.ledger import LEDGER, read_ledger
from immunoprofile.gate.methods import is_placed
from immunoprofile.gate.overrides_in_force import in_force, overridden
from immunoprofile.gate.raster import GateRaster, read_rasters
from immunoprofile.gate.strategy import GateSet, Strategy
from immunoprofile.io.h5ad import read_h5ad
from immunoprofile.io.records import records
from immunoprofile.profiling.one_file import read_flags
from immunoprofile.profiling.sealing import VISITS, read_provenance
from immunoprofile.profiling.stored_files import (
    StoredFiles,
    read_numbers,
    read_quality,
    read_result_table,
    read_statistics,
    read_text_table,
)
from immunoprofile.study import Study, read_study

if TYPE_CHECKING:
    import anndata

METHODS = "statistics/methods.txt"
_TABLES = ("counts", "quality", "exceptions", "virology")


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
        The strategies that were used, with the overrides of single samples.
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
    def read(cls, folder: Path, *, study: Study | None = None, provenance: Mapping[str, Any] | None = None) -> Profile:
        """Read a results folder.

        Parameters
        ----------
        folder
            Results folder.
        study
            Replaces the copy in the folder, so that its FCS files can be reached.
        provenance
            What the run knows that is at work in the folder. By default the folder must be complete, and every file
            that is read as it was sealed.

        Raises
        ------
        ResultsError
            The folder is not complete, or a file is damaged, missing or changed.
        """
        provenance = read_provenance(folder) if provenance is None else provenance
        files = StoredFiles(folder, provenance.get("outputs"))
        # All at once, before the first is parsed.
        files.check(VISITS, *(f"{name}.csv" for name in (*_TABLES, *schema.RESULT_TABLES)), "study", "gating/templates")
        with files.reading(VISITS) as path:
            visits = read_h5ad(path)
        if files.outputs is not None:
            add_statistics(visits, folder, files.outputs)
        tables = {}
        for name, spec in schema.RESULT_TABLES.items():
            with files.reading(f"{name}.csv") as path:
                tables[name] = read_result_table(path, spec)
        with files.reading("counts.csv") as path:
            counts = read_numbers(path)
        with files.reading("quality.csv") as path:
            quality = read_quality(path)
        with files.reading("exceptions.csv") as path:
            exceptions = read_text_table(path)
        with files.reading("virology.csv") as path:
            virology = read_numbers(path)
        if study is None:
            with files.reading("study") as path:
                study = read_study(path, require_files=False)
        with files.reading("gating/templates") as path:
            gates = load(path)
        if files.outputs is None or LEDGER in files.outputs:
            with files.reading(LEDGER):
                gates = replace(gates, overrides=read_ledger(folder).overrides)
        return cls(
            folder=folder,
            study=study,
            visits=visits,
            counts=counts,
            quality=quality,
            exceptions=exceptions,
            virology=virology,
            gates=gates,
            provenance=provenance,
            tables=tables,
        )

    @property
    def _files(self) -> StoredFiles:
        return StoredFiles(self.folder, self.provenance.get("outputs"))

    def rasters(self, sample_id: str) -> tuple[GateRaster, ...]:
        """Gating plots of a sample; empty when the file could not be gated."""
        name = f"rasters/{sample_id}.npz"
        if not (self.folder / name).is_file():
            return ()
        with self._files.reading(name) as path:
            return read_rasters(path)

    def event_flags(self, sample_id: str) -> pd.DataFrame:
        """Quality flags of every event of a sample, True where flagged, in the order of the file.

        ``attrs["time_gate"]`` holds the stretches in seconds in which flow and signals were stable: a proposal.

        Raises
        ------
        NotAvailableError
            The file could not be gated.
        """
        name = f"quality/{sample_id}.npz"
        if not (self.folder / name).is_file():
            raise NotAvailableError("no flags of this sample", where=sample_id, todo="see exceptions.csv")
        with self._files.reading(name) as path:
            flags, gate = read_flags(path)
        table = pd.DataFrame(flags)
        table.attrs["time_gate"] = [(float(begin), float(end)) for begin, end in gate]
        return table

    def sample_of(self, usubjid: str, visit: str, tube: str) -> str | None:
        """Sample that was used for a tube of a visit; None when there is none."""
        return self._used.get((usubjid, visit, tube))

    @cached_property
    def _used(self) -> dict[tuple[str, str, str], str]:
        found: dict[tuple[str, str, str], str] = {}
        columns = (self.quality[name].astype(str) for name in ("usubjid", "visit", "tube", "sample_id"))
        for usubjid, visit, tube, sample_id in zip(*columns, strict=True):
            if sample_id:
                found.setdefault((usubjid, visit, tube), sample_id)
        return found

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
            Cells x channels as in `gate.cells.cells_of`, with ``usubjid``, ``visit`` and ``arm`` in ``obs``.

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
            part = self._cells_of_sample(sample_id, population, per_visit, seed)
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

    def _gates_of(self, sample_id: str, tube: str) -> Strategy:
        """Gates of one sample: those of its tube, or those of the sample where it has its own.

        It has them where a workspace says so, and where the template of its tube places gates.
        """
        template = self.gates[tube]
        if not template.samples:
            if any(is_placed(gate) for gate in template.gates):
                return with_places_of(template, self._stored_gates(sample_id))
            return overridden(template, in_force(self.gates.overrides, sample_id, tube))
        return self._stored_gates(sample_id)

    def _stored_gates(self, sample_id: str) -> Strategy:
        """Gates of one sample as the run wrote them, naming the channels of its file."""
        names = [f"gating/{sample_id}{suffix}" for suffix in (".json", ".xml")]
        name = next(name for name in names if (self.folder / name).is_file())
        with self._files.reading(name) as path:
            return next(iter(load(path).values()))

    def gated(self, sample_id: str) -> GatedSample:
        """A file of the run with its gates, read again: events and memberships, for `pl.overlay` and the gate editor.

        Raises
        ------
        NotAvailableError
            The FCS files are not at hand; `read_results` with ``study=`` finds them.
        ResultsError
            The file is not the one that was gated.
        """
        try:
            file = self.study.fcs_path(sample_id)
        except KeyError:
            file = None
        if file is None or not file.is_file():
            raise NotAvailableError(
                "the cells need the FCS files or a run with --cells",
                where=sample_id,
                todo="say ip.read_results(folder, study=...) with the folder of the FCS files, or run with --cells",
            )
        declared = self._samples[sample_id]["comp_source"]
        sample = self.study.fcs_source(sample_id).read()
        if sample.sha256 != self.provenance["inputs"][self._file(sample_id)]:
            raise ResultsError(
                "the file is not the one that was gated: its content changed",
                where=str(file),
                todo="run the study again",
            )
        strategy = self._gates_of(sample_id, self._samples[sample_id]["tube_id"])
        return gate_sample(sample, strategy, comp_source=declared or None)

    def _cells_of_sample(self, sample_id: str, population: str, per_visit: int | None, seed: int) -> anndata.AnnData:
        import anndata

        stored = self.folder / "cells" / f"{sample_id}.h5ad"
        digest = int(str(self.provenance["inputs"][self._file(sample_id)])[:15], 16)
        rng = np.random.default_rng([seed, digest])
        if stored.is_file():
            with self._files.reading(f"cells/{sample_id}.h5ad") as path:
                whole = anndata.read_h5ad(path)
            inside = np.flatnonzero(whole.obs[f"{schema.GATE_PREFIX}{population}"].to_numpy(dtype=bool))
            return whole[_draw(inside, per_visit, rng)].copy()
        gated = self.gated(sample_id)
        inside = np.flatnonzero(gated.masks[population])
        return cells_of(gated, sample_id, events=_draw(inside, per_visit, rng))

    def _file(self, sample_id: str) -> str:
        return str(self._samples[sample_id]["fcs_path"])

    @cached_property
    def _samples(self) -> dict[str, dict[str, Any]]:
        return {row["sample_id"]: row for row in records(self.study.samples, "samples")}

    def __repr__(self) -> str:
        left_out = int((self.exceptions["severity"] == "error").sum())
        return (
            f"Profile({self.study.config.study_id!r}: {self.visits.n_obs} visits x {self.visits.n_vars} populations, "
            f"{self.counts['sample_id'].nunique()} files gated, {left_out} left out)"
        )

    def _repr_html_(self) -> str:
        from immunoprofile.profiling.profile_view import profile_view

        return profile_view(self)


def _draw(inside: np.ndarray[Any, Any], at_most: int | None, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    if at_most is None or inside.size <= at_most:
        return inside
    return np.sort(rng.choice(inside, size=at_most, replace=False))


def read_results(folder: str | Path, *, study: Study | str | Path | None = None) -> Profile:
    """Read a results folder that `profile` wrote; the FCS files are not needed.

    Parameters
    ----------
    folder
        Results folder.
    study
        Study whose FCS files lie beside it, or its folder: `Profile.cells` and `Profile.gated` then work without a
        second run. Its tables are not looked at: those in the results count, as they were used. Each FCS file is
        compared with the one that was gated when it is read.

    Raises
    ------
    ResultsError
        The folder holds no complete results, or a file of it is damaged, missing or not as the run wrote it; the study
        lacks an FCS file of the results.
    """
    found = Profile.read(Path(folder))
    if study is None:
        return found
    beside = study.folder if isinstance(study, Study) else Path(study)
    reached = replace(found, study=replace(found.study, folder=beside))
    used = found.counts["sample_id"].astype(str).unique()
    missing = [name for name in used if not reached.study.fcs_path(name).is_file()]
    if missing:
        shown = ", ".join(missing[:3]) + (" ..." if len(missing) > 3 else "")
        raise ResultsError(
            f"{len(missing)} FCS files of the results are not in the study ({shown})",
            where=str(beside),
            todo="name the folder of the study that was run",
        )
    return reached


def add_statistics(visits: anndata.AnnData, folder: Path, outputs: Mapping[str, str] | None = None) -> None:
    """Read the tables of statistics of a results folder into ``visits.uns``.

    Parameters
    ----------
    visits
        The visits object of the folder.
    folder
        Results folder.
    outputs
        Path -> SHA-256 as the folder was sealed; None reads what is there.
    """
    files = StoredFiles(folder, outputs)
    names = (
        outputs if outputs is not None else {f"statistics/{path.name}" for path in (folder / "statistics").iterdir()}
    )
    for name in sorted(name for name in names if name.startswith("statistics/") and name.endswith(".csv")):
        with files.reading(name) as path:
            visits.uns[path.stem] = read_statistics(path)
    if METHODS in names:
        with files.reading(METHODS) as path:
            visits.uns[schema.UNS_METHODS] = path.read_text(encoding="utf-8").strip()
