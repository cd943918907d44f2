"""CMV-DNA assays as ``study.yaml`` registers them, and what all of its models share."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from immunoprofile.schema import CMV_SPECIMENS, CMV_UNITS, LINEAR_CMV_UNITS, LOG10, cmv_unit, linear_unit

_NO_LOGARITHM = 10.0
"""No viral load has a decimal logarithm of so much or more."""


def _plain_date(value: object) -> object:
    # YAML reads an unquoted 2024-03-01 as a date.
    return value.isoformat() if type(value) is date else value


DateText = Annotated[str, BeforeValidator(_plain_date)]
"""ISO date as text, quoted in YAML or not."""


class StudyModel(BaseModel):
    """Base of what ``study.yaml`` declares: unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Assay(StudyModel):
    """A CMV-DNA assay: what it measures, in which specimen and unit, and its limits in that unit."""

    name: str
    target: str = ""
    """Gene or region that the PCR amplifies, for example UL54."""
    unit: str
    """IU/mL or copies/mL. Limits declared in log10 of either are converted when they are read."""
    specimen: str
    lod: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    lloq: float = Field(gt=0, allow_inf_nan=False)
    uloq: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    iu_factor: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """IU per copy, only where it was determined for this assay and specimen."""
    iu_factor_source: str = ""
    """Where the factor comes from; a factor without a source is refused."""
    valid_from: DateText = ""
    """ISO date from which results are of this assay with these limits; empty is always."""
    source: str = ""

    @model_validator(mode="before")
    @classmethod
    def _on_the_linear_scale(cls, content: object) -> object:
        """Limits that are declared as logarithms become the numbers that they stand for."""
        if not isinstance(content, dict) or not isinstance(content.get("unit"), str):
            return content
        unit = cmv_unit(content["unit"])
        if unit not in CMV_UNITS or unit == linear_unit(unit):
            return {**content, "unit": unit}
        limits = {name: content[name] for name in ("lod", "lloq", "uloq") if name in content}
        high = [name for name, limit in limits.items() if isinstance(limit, int | float) and limit >= _NO_LOGARITHM]
        if high:
            raise ValueError(f"{', '.join(high)}: no logarithm of a viral load; write unit: {linear_unit(unit)}")
        linear = {name: 10.0**limit if isinstance(limit, int | float) else limit for name, limit in limits.items()}
        return {**content, **linear, "unit": linear_unit(unit)}

    @model_validator(mode="after")
    def _known_unit(self) -> Assay:
        problems = []
        if self.unit not in LINEAR_CMV_UNITS:
            problems.append(f"unit {self.unit!r} is not one of {', '.join(CMV_UNITS)}")
        if self.uloq is not None and self.uloq < _NO_LOGARITHM:
            problems.append(f"uloq {self.uloq:g} {self.unit} looks like a logarithm; write unit: {LOG10}{self.unit}")
        if self.specimen not in CMV_SPECIMENS:
            problems.append(f"specimen {self.specimen!r} is not one of {', '.join(CMV_SPECIMENS)}")
        if self.lod is not None and self.lod > self.lloq:
            problems.append(f"lod {self.lod:g} is above lloq {self.lloq:g}: what is quantified is detected")
        if self.uloq is not None and self.uloq <= self.lloq:
            problems.append(f"uloq {self.uloq:g} is not above lloq {self.lloq:g}")
        if self.iu_factor is not None and not self.iu_factor_source.strip():
            problems.append("iu_factor needs iu_factor_source: a factor holds for one assay and specimen only")
        if self.valid_from and not is_full_date(self.valid_from):
            problems.append(f"valid_from {self.valid_from!r} is not a full ISO date such as 2024-03-01")
        if problems:
            raise ValueError("; ".join(problems))
        return self


def is_full_date(text: str) -> bool:
    """Whether a text is an ISO date with year, month and day."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
