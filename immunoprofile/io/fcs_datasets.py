"""The data sets of an FCS file: header and keywords of each, found through ``$NEXTDATA``."""

from __future__ import annotations

from dataclasses import dataclass

from immunoprofile.errors import FcsError
from immunoprofile.io.fcs_repair import EXPORT_AGAIN, NOTICE_DATA_SET_BROKEN, REPAIR_NEXTDATA, Repairs
from immunoprofile.io.fcs_text import Header, integer, read_at, read_header, read_text
from immunoprofile.io.one_pass import Readable

# Two is what cytometers write; more than this is a file that was made to keep a reader busy.
_MOST_DATA_SETS = 32

CHOOSE = "say which: gate --dataset 2 or FILE[2], the column dataset of samples.csv, or read_fcs(path, dataset=2)"


@dataclass(frozen=True)
class DataSet:
    """One data set.

    Attributes
    ----------
    base
        Its first byte in the file.
    header, keywords
        What it says of itself.
    repairs
        Repairs that reading it needed so far; the name in messages.
    """

    base: int
    header: Header
    keywords: dict[str, str]
    repairs: Repairs


@dataclass(frozen=True)
class DataSets:
    """All data sets of a file.

    Attributes
    ----------
    name
        Name of the file.
    sound
        Number, from 1, and data set of those whose header and keywords can be read.
    broken
        The same with the reason for those where they cannot.
    """

    name: str
    sound: dict[int, DataSet]
    broken: dict[int, FcsError]

    def chosen(self, number: int | None) -> DataSet:
        """The data set that a person named, or the only one that can be read.

        Raises
        ------
        FcsError
            There are several and none was named, there is none of that number, or it cannot be read.
        """
        total = len(self.sound) + len(self.broken)
        if number is None:
            if len(self.sound) > 1:
                each = "; ".join(
                    f"{place}: FCS {one.header.version}, {one.keywords.get('tot', '?')} events, "
                    f"{one.keywords.get('par', '?')} channels"
                    for place, one in self.sound.items()
                )
                raise FcsError(f"file holds several data sets ({each})", where=self.name, todo=CHOOSE)
            number = next(iter(self.sound))
        if number in self.broken:
            raise self.broken[number]
        if number not in self.sound:
            what = f"there is no data set {number}: the file has {total}"
            raise FcsError(what, where=self.name, todo="count from 1")
        self.tell_broken(self.sound[number].repairs)
        return self.sound[number]

    def tell_broken(self, repairs: Repairs) -> None:
        """Note data sets that cannot be read with one that can."""
        for place, error in self.broken.items():
            repairs.note(NOTICE_DATA_SET_BROKEN, f"{place}: {error.what}")


def data_sets(handle: Readable, size: int, name: str) -> DataSets:
    """Header and keywords of each data set; ``$NEXTDATA`` counts from the begin of its own data set.

    Raises
    ------
    FcsError
        The first one cannot be read, or there are more than any cytometer writes.
    """
    sound: dict[int, DataSet] = {}
    broken: dict[int, FcsError] = {}
    base = 0
    while True:
        number = len(sound) + 1
        repairs = Repairs(name if not sound else f"{name}[{number}]")
        try:
            header = read_header(handle, base, size, repairs.where)
            keywords = read_text(handle, base, size, header, repairs).table
        except FcsError as error:
            if not sound:
                raise
            broken[number] = error
            break
        sound[number] = DataSet(base, header, keywords, repairs)
        if number > _MOST_DATA_SETS:
            raise FcsError(f"file holds more than {_MOST_DATA_SETS} data sets", where=name, todo=EXPORT_AGAIN)
        text = keywords.get("nextdata", "")
        further = integer(text) if text else 0
        if further == 0:
            break
        # The standard counts from the begin of the data set; some writers count from the begin of the file.
        places = [] if further is None or further < 0 else [base + further, further]
        # A data set that begins inside the text of this one would have the same bytes read again and again.
        following = [at for at in places if base + header.text.stop < at < size and read_at(handle, at, 3) == b"FCS"]
        if not following:
            repairs.note(REPAIR_NEXTDATA, f"found {text!r}")
            break
        base = following[0]
    if len(sound) + len(broken) > 1:
        sound[1].repairs.where = f"{name}[1]"
    return DataSets(name, sound, broken)
