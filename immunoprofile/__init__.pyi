from immunoprofile import clinical as clinical
from immunoprofile import compensation as compensation
from immunoprofile import datasets as datasets
from immunoprofile import errors as errors
from immunoprofile import gate as gate
from immunoprofile import get as get
from immunoprofile import io as io
from immunoprofile import pl as pl
from immunoprofile import placement as placement
from immunoprofile import pp as pp
from immunoprofile import quality as quality
from immunoprofile import report as report
from immunoprofile import schema as schema
from immunoprofile import tl as tl
from immunoprofile import virology as virology
from immunoprofile import widget as widget
from immunoprofile._version import __version__ as __version__
from immunoprofile.io import Sample as Sample
from immunoprofile.io import read_fcs as read_fcs
from immunoprofile.io import read_fcs_datasets as read_fcs_datasets
from immunoprofile.profiling import Profile as Profile
from immunoprofile.profiling import profile as profile
from immunoprofile.profiling import read_results as read_results
from immunoprofile.run import run_study as run_study
from immunoprofile.skeleton import study_skeleton as study_skeleton
from immunoprofile.study import Study as Study
from immunoprofile.study import read_study as read_study

__all__ = [
    "Profile",
    "Sample",
    "Study",
    "__version__",
    "clinical",
    "compensation",
    "datasets",
    "errors",
    "gate",
    "get",
    "io",
    "pl",
    "placement",
    "pp",
    "profile",
    "quality",
    "read_fcs",
    "read_fcs_datasets",
    "read_results",
    "read_study",
    "report",
    "run_study",
    "schema",
    "study_skeleton",
    "tl",
    "virology",
    "widget",
]
