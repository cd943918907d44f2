"""Coverage-guided fuzzing of the FCS reader with atheris (not part of the suite; docs/fuzzing.md says how to run it).

    python tests/fuzz/atheris_fcs.py CORPUS -max_total_time=600 -timeout=5 -rss_limit_mb=1024

CORPUS is a folder; it is filled with the seeds of tests/fuzz/fcs_mutations.py when it is empty.
"""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path

import atheris

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

with atheris.instrument_imports(include=["immunoprofile.io"]):
    from immunoprofile.io import fcs  # noqa: F401  (imported here so that atheris sees its branches)

from tests.fuzz.fcs_mutations import MEMORY_EXTRA, MEMORY_FACTOR, check_sample, read_both_ways, seeds  # noqa: E402


def test_one_input(content: bytes) -> None:
    """Anything but a sample that holds together or a named error ends the run."""
    for sample in read_both_ways(content) or ():
        check_sample(sample, content)
        assert sample.events.nbytes <= MEMORY_FACTOR * len(content) + MEMORY_EXTRA


def main() -> None:
    logging.disable(logging.WARNING)
    warnings.simplefilter("error")
    folders = [Path(argument) for argument in sys.argv[1:] if not argument.startswith("-")]
    if folders:
        folders[0].mkdir(parents=True, exist_ok=True)
        if not any(folders[0].iterdir()):
            for number, content in enumerate(seeds()):
                (folders[0] / f"seed{number:02d}.fcs").write_bytes(content)
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
