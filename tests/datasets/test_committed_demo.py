"""The small study that is committed: its registry of hashes, and that it is what the simulator writes."""

from __future__ import annotations

import numpy as np
import pandas as pd

import immunoprofile as ip
from immunoprofile.io.files import sha256_of


def test_files_have_the_hashes_of_their_registry(repository):
    study = ip.read_study(repository / "data" / "demo")
    for row in study.samples.itertuples():
        assert sha256_of(study.fcs_path(str(row.sample_id))) == row.sha256


def test_simulator_writes_it_again(repository, tmp_path):
    """Tables to the letter; events to 1e-5, since other processors round the last bits of exp and log differently."""
    fresh = ip.datasets.il2_cmv(tmp_path / "demo", subjects=2, visits=2, events=1000, warts=False)
    committed = repository / "data" / "demo"
    assert {p.relative_to(fresh) for p in fresh.rglob("*.*")} == {
        p.relative_to(committed) for p in committed.rglob("*.*")
    }
    for path in sorted(committed.glob("*.csv")):
        one, two = pd.read_csv(path), pd.read_csv(fresh / path.name)
        pd.testing.assert_frame_equal(
            one.drop(columns="sha256", errors="ignore"), two.drop(columns="sha256", errors="ignore")
        )
    for path in sorted(committed.rglob("*.fcs"))[::5]:
        one, two = ip.read_fcs(path), ip.read_fcs(fresh / path.relative_to(committed))
        np.testing.assert_allclose(one.events, two.events, rtol=1e-5, atol=1e-2)
