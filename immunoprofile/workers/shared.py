"""What is big and the same for every task of a call: written to a file once, loaded once by each process.

A task that holds one of these objects refers to it by its place, so that it stays small.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import socket
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from immunoprofile.errors import ClusterError
from immunoprofile.io.files import write_bytes
from immunoprofile.io.inputs import reason
from immunoprofile.workers.agreement import differing, software

_loaded: dict[str, tuple[Any, ...]] = {}
"""Hash -> objects; of the last call only."""
_lock = threading.Lock()


SEE = "mount the folders under the same absolute paths on all workers, then give the same command again"
SAME = "install the same environment on all workers, then give the same command again"


class Place(NamedTuple):
    """Where shared objects are kept, and what they are."""

    path: str
    sha256: str


class Shared:
    """Objects that the tasks of a call have in common.

    Parameters
    ----------
    path
        File to write them to; every worker must see it.
    objects
        The objects. The first is the function that is called.
    needs
        Software that a process must have (`agreement.software`); None asks for none.
    """

    def __init__(self, path: Path, objects: Sequence[Any], *, needs: Mapping[str, str] | None = None) -> None:
        own = pickle.dumps(tuple(objects), protocol=pickle.HIGHEST_PROTOCOL)
        content = pickle.dumps((dict(needs or {}), own), protocol=pickle.HIGHEST_PROTOCOL)
        write_bytes(path, content)
        self.place = Place(str(path), hashlib.sha256(content).hexdigest())
        self.size = len(content)
        self._places = {id(one): number for number, one in enumerate(objects)}
        self._objects = tuple(objects)  # an id stands for its object while that lives

    def pack(self, item: Any) -> bytes:
        """An item, with references to what is shared."""
        buffer = io.BytesIO()
        _Packer(buffer, self._places).dump(item)
        return buffer.getvalue()


def call(place: Place, packed: bytes) -> Any:
    """Call the shared function with an item."""
    objects = _objects(place)
    return objects[0](_Unpacker(io.BytesIO(packed), objects).load())


class _Packer(pickle.Pickler):
    def __init__(self, buffer: io.BytesIO, places: Mapping[int, int]) -> None:
        super().__init__(buffer, protocol=pickle.HIGHEST_PROTOCOL)
        self._places = places

    def persistent_id(self, obj: Any) -> int | None:
        return self._places.get(id(obj))


class _Unpacker(pickle.Unpickler):
    def __init__(self, buffer: io.BytesIO, objects: tuple[Any, ...]) -> None:
        super().__init__(buffer)
        self._objects = objects

    def persistent_load(self, pid: Any) -> Any:
        return self._objects[pid]


def _objects(place: Place) -> tuple[Any, ...]:
    with _lock:
        if place.sha256 not in _loaded:
            content = _read(place)
            _loaded.clear()  # of an earlier call: nothing asks for it any more
            needs, objects = pickle.loads(content)
            # Before the objects are made, which other software may not be able to.
            if lines := differing(software(), needs) if needs else []:
                raise ClusterError(f"it has {'; '.join(lines)}", where=f"worker on {socket.gethostname()}",
                                   todo=SAME)  # fmt: skip
            _loaded[place.sha256] = pickle.loads(objects)
        return _loaded[place.sha256]


def _read(place: Place) -> bytes:
    try:
        content = Path(place.path).read_bytes()
    except OSError as error:
        what = f"worker on {socket.gethostname()} cannot read it: {reason(error)}"
        raise ClusterError(what, where=place.path, todo=SEE) from error
    if hashlib.sha256(content).hexdigest() != place.sha256:
        what = f"worker on {socket.gethostname()} reads something else than what the run wrote"
        raise ClusterError(what, where=place.path, todo=SEE)
    return content
