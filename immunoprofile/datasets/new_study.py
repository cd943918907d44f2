"""A simulated study appears when it is complete: until then it is written beside its place."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from immunoprofile.errors import ImmunoprofileError
from immunoprofile.io.files import cannot_write
from immunoprofile.io.only_writer import LOCK, only_writer, outside_results

TRUTH_SUFFIX: Final = "-truth"
_BEGUN: Final = ".simulating"
"""What a killed simulation leaves in the folder; the next one begins anew."""


@contextmanager
def new_study(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Give a folder for a study and one for its truth, which take their places when the block ends without an error.

    Parameters
    ----------
    folder
        Where the study is to be; the truth goes to ``<folder>-truth`` beside it. Both must be absent or empty.

    Raises
    ------
    ImmunoprofileError
        One of them is not empty, or another process is at work in it.
    OutputError
        They cannot be written. Nothing was written then.
    """
    truth = folder.with_name(folder.name + TRUTH_SUFFIX)
    _refuse_content(folder)
    _refuse_content(truth)
    outside_results(folder)
    new = not folder.exists()
    try:
        with _written(folder, truth) as places:
            yield places
    except BaseException:
        if new:
            with suppress(OSError):
                folder.rmdir()
        raise


@contextmanager
def _written(folder: Path, truth: Path) -> Iterator[tuple[Path, Path]]:
    with only_writer(folder, "simulate"):
        begun = folder / _BEGUN
        try:
            _refuse_content(folder)
            shutil.rmtree(begun, ignore_errors=True)
            for name in ("study", "truth"):
                (begun / name).mkdir(parents=True)
            yield begun / "study", begun / "truth"
            if truth.exists():
                truth.rmdir()
            (begun / "truth").replace(truth)
            # study.yaml last: without it the folder is no study.
            for path in sorted((begun / "study").iterdir(), key=lambda path: (path.suffix == ".yaml", path.name)):
                path.replace(folder / path.name)
        except OSError as error:
            raise cannot_write(Path(error.filename or folder), error) from error
        finally:
            shutil.rmtree(begun, ignore_errors=True)


def _refuse_content(path: Path) -> None:
    if path.exists() and (not path.is_dir() or any(one.name not in (LOCK, _BEGUN) for one in path.iterdir())):
        what = "the folder for the synthetic study is not empty"
        raise ImmunoprofileError(what, where=str(path), todo="name another folder or remove this one")
