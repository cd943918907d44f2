"""What ``study.yaml`` decides about control aliquots and replicates."""

from __future__ import annotations

from pydantic import Field

from immunoprofile.io.cmv_assay import StudyModel


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
