"""What a command settles of its process."""

import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import numpy as np
if sys.argv[1] == "settled":
    from immunoprofile.workers.own_process import settle
    settle()
def columns():  # of one file after the other: each larger than what is cut from the heap at once
    return [np.ones(1 << 18) for _ in range(16)]
columns()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    columns()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of the library C of GNU")
def test_pages_of_one_file_serve_the_next_one():
    # 20 times 16 columns of 512 pages; a page is mapped again where the system had it back
    assert _faults("settled") < 0.1 * _faults("as it is")
