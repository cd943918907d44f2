"""CMV-DNA assays that the package knows, as starting points for a study."""

from __future__ import annotations

from immunoprofile.io.cmv_assay import Assay
from immunoprofile.resources import load_yaml


def known_assays() -> dict[str, Assay]:
    """Assays whose limits were seen in a source, by id, to be copied into ``study.yaml`` and compared with the insert.

    Examples
    --------
    >>> known_assays()["roche_cap_ctm"].lloq
    137.0
    """
    entries = load_yaml("assays.yaml")["assays"]
    return {
        assay_id: Assay.model_validate({name: value for name, value in entry.items() if name != "tag"})
        for assay_id, entry in entries.items()
    }
