"""How much two CMV-DNA results of one patient differ by measurement alone."""

from __future__ import annotations

import math

from immunoprofile.errors import AnalysisError
from immunoprofile.resources import load_yaml

Z_95 = 1.96
"""Two-sided 95 % point of the normal distribution, as in the specification."""


def reference_change_log10(sd: float) -> float:
    """Largest difference of two results that repeated measurement explains in 95 of 100 pairs, 1.96 sqrt(2) SD.

    Parameters
    ----------
    sd
        Standard deviation of repeated measurements, log10.

    Raises
    ------
    AnalysisError
        The standard deviation is not a number of at least 0.

    Examples
    --------
    >>> round(reference_change_log10(0.13), 2), round(10 ** reference_change_log10(0.13), 1)
    (0.36, 2.3)
    """
    if not (math.isfinite(sd) and sd >= 0):
        raise AnalysisError(f"a standard deviation of {sd} is none", todo="give a number of at least 0")
    return Z_95 * math.sqrt(2) * sd


def analytical_noise() -> tuple[tuple[float, float], ...]:
    """Published pairs of level and standard deviation, both log10 copies/mL (resources/assays.yaml)."""
    return tuple((float(one["log10_level"]), float(one["sd"])) for one in load_yaml("assays.yaml")["analytical_noise"])


def significant_change_log10() -> float:
    """Change that counts as one by default, log10: above the analytical noise at every level (a project decision)."""
    return float(load_yaml("assays.yaml")["significant_change_log10"])
