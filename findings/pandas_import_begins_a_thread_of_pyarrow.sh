#!/usr/bin/env bash
# pandas 2.3.3 with pyarrow 26.0.1 (PyPI, wheels for Linux).
#
# A process that has done nothing but "import pandas" has two native threads where pyarrow is installed: the jemalloc
# that pyarrow brings begins one in the background. threading.enumerate() does not show it. So a process cannot be sure
# to fork with a single thread by importing only and computing nothing: from Python 3.12 on os.fork warns of it. Another
# memory pool (ARROW_DEFAULT_MEMORY_POOL=system) does not keep it from beginning; jemalloc's own setting for pyarrow,
# JE_ARROW_MALLOC_CONF=background_thread:false, does.
set -euo pipefail
[ "$(uname -s)" = Linux ] || { echo "counts threads in /proc: Linux only"; exit 1; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check pandas==2.3.3 pyarrow==26.0.1 numpy==2.4.6
export OPENBLAS_NUM_THREADS=1
count='
import os, threading
import pandas
names = sorted(open(f"/proc/self/task/{one}/comm").read().strip() for one in os.listdir("/proc/self/task"))
others = [name for name in names if not name.startswith("python")]
print(len(names), len(threading.enumerate()), *others)
'
plain=$("$folder/venv/bin/python" -c "$count")
pool=$(ARROW_DEFAULT_MEMORY_POOL=system "$folder/venv/bin/python" -c "$count")
told=$(JE_ARROW_MALLOC_CONF=background_thread:false "$folder/venv/bin/python" -c "$count")
echo "native threads, Python's threads, names of the others: $plain; with the system's pool: $pool; told not to: $told"
[ "$plain" = "2 1 jemalloc_bg_thd" ] && [ "$pool" = "$plain" ] && [ "$told" = "1 1" ] || { echo "no longer so"; exit 1; }
echo "as stated"
