"""What ``study.yaml`` decides about control aliquots and replicates, and about the errors of absolute counts."""

from __future__ import annotations

from typing import TypedDict

from pydantic import Field

from immunoprofile.io.cmv_assay import StudyModel


class SaidErrors(TypedDict, total=False):
    """Arguments of `pp.absolute`."""

    cv_pipetting: float
    cv_beads: float
    cv_blood_count: float


class AbsoluteCounts(StudyModel):
    """The key ``absolute_counts`` of ``study.yaml``: what the intervals of cells/uL hold beside counting.

    Coefficients of variation as fractions; one that is not said is that of the package (`pp.absolute`).
    """

    cv_pipetting: float | None = Field(default=None, ge=0, lt=1)
    """Of the pipetted blood, or of the volume that a volumetric cytometer drew."""
    cv_beads: float | None = Field(default=None, ge=0, lt=1)
    """Of the beads of a tube: certificate of the lot and loss."""
    cv_blood_count: float | None = Field(default=None, ge=0, lt=1)
    """Of the lymphocytes or white cells of the haematology analyser."""

    @property
    def said(self) -> SaidErrors:
        """Those that the study says, by name."""
        found: SaidErrors = {}
        if self.cv_pipetting is not None:
            found["cv_pipetting"] = self.cv_pipetting
        if self.cv_beads is not None:
            found["cv_beads"] = self.cv_beads
        if self.cv_blood_count is not None:
            found["cv_blood_count"] = self.cv_blood_count
        return found


class ControlSettings(StudyModel):
    """The key ``controls`` of ``study.yaml``."""

    target_runs: int = Field(default=20, ge=5)
    """Runs of a lot from which a target is established where control_targets declares none."""
    populations: tuple[str, ...] = ()
    """Populations whose control holds the reports of a batch; empty: those that the endpoints rest on."""
    cv_limit: float = Field(default=0.25, gt=0, lt=1)
    """CV, as a fraction, up to which a count is called quantifiable."""
    cv_within_subject: float | None = Field(default=None, ge=0, lt=1)
    """CV between draws of an unchanged subject without the assay, as a fraction; replicate tubes of one draw do not
    hold it."""
