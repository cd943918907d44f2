"""Immune monitoring in clinical trials: from flow cytometry files to a per-visit immune report.

    import immunoprofile as ip

    study = ip.read_study("data/demo")
    gates = ip.gate.load("gating/")
    profile = ip.profile(study, gates, out="results", jobs=2)
    ip.tl.compare(profile.visits)
    ip.report.cohort(profile).to_html("cohort.html")

Every public name is imported when it is first used: scanpy, FlowKit and matplotlib take seconds, and
``import immunoprofile`` should not. The names, with their types, stand in ``__init__.pyi``.
Research use only: nothing here is meant for diagnosis or treatment decisions.
"""

from importlib import import_module

from immunoprofile._version import __version__ as __version__

_ROOMS = frozenset(
    {"clinical", "compensation", "datasets", "errors", "gate", "get", "io", "pl", "placement", "pp", "quality",
     "report", "schema", "tl", "virology", "widget"}
)  # fmt: skip

_HOMES = {
    "Profile": "immunoprofile.profiling",
    "Sample": "immunoprofile.io",
    "Study": "immunoprofile.study",
    "profile": "immunoprofile.profiling",
    "read_fcs": "immunoprofile.io",
    "read_fcs_datasets": "immunoprofile.io",
    "read_results": "immunoprofile.profiling",
    "read_study": "immunoprofile.study",
    "run_study": "immunoprofile.run",
    "study_skeleton": "immunoprofile.skeleton",
}

__all__ = sorted({"__version__", *_HOMES, *_ROOMS})


def __getattr__(name: str) -> object:
    if name in _ROOMS:
        return import_module(f"{__name__}.{name}")
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return sorted(__all__)
