"""Repairs that reading an FCS file may need: each has a name, and none is silent.

`EXPLANATIONS` is the one table of names; docs/fcs-reader.md prints it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from immunoprofile.errors import FcsError

REPAIR_OFFSET_BY_ONE = "REPAIR_OFFSET_BY_ONE"
REPAIR_OFFSET_DISCREPANCY = "REPAIR_OFFSET_DISCREPANCY"
REPAIR_OFFSET_MISSING = "REPAIR_OFFSET_MISSING"
REPAIR_DATA_PADDING = "REPAIR_DATA_PADDING"
REPAIR_TOT_MISSING = "REPAIR_TOT_MISSING"
REPAIR_NEXTDATA = "REPAIR_NEXTDATA"
REPAIR_TEXT_END = "REPAIR_TEXT_END"
REPAIR_TEXT_UNTERMINATED = "REPAIR_TEXT_UNTERMINATED"
REPAIR_TEXT_ENCODING = "REPAIR_TEXT_ENCODING"
REPAIR_TEXT_UTF16 = "REPAIR_TEXT_UTF16"
REPAIR_EMPTY_VALUE = "REPAIR_EMPTY_VALUE"
REPAIR_DUPLICATE_KEYWORD = "REPAIR_DUPLICATE_KEYWORD"
REPAIR_SUPPLEMENTAL_TEXT = "REPAIR_SUPPLEMENTAL_TEXT"
REPAIR_MODE_MISSING = "REPAIR_MODE_MISSING"
REPAIR_BITS = "REPAIR_BITS"
REPAIR_BIT_PACKED = "REPAIR_BIT_PACKED"
REPAIR_RANGE_MISSING = "REPAIR_RANGE_MISSING"
REPAIR_AMPLIFIER_MISSING = "REPAIR_AMPLIFIER_MISSING"
REPAIR_LOG_ZERO = "REPAIR_LOG_ZERO"
REPAIR_LOG_ON_FLOAT = "REPAIR_LOG_ON_FLOAT"
REPAIR_GAIN = "REPAIR_GAIN"
REPAIR_TIMESTEP = "REPAIR_TIMESTEP"
REPAIR_CHANNEL_NAME = "REPAIR_CHANNEL_NAME"
REPAIR_DUPLICATE_NAMES = "REPAIR_DUPLICATE_NAMES"
REPAIR_SURPLUS_CHANNELS = "REPAIR_SURPLUS_CHANNELS"
NOTICE_DATA_SET_BROKEN = "NOTICE_DATA_SET_BROKEN"
NOTICE_MASKED = "NOTICE_MASKED"
NOTICE_NOT_FINITE = "NOTICE_NOT_FINITE"

EXPLANATIONS: dict[str, str] = {
    REPAIR_OFFSET_BY_ONE: "the end of the data is given one byte off",
    REPAIR_OFFSET_DISCREPANCY: "header and text disagree on the data; the offsets that fit $TOT were used",
    REPAIR_OFFSET_MISSING: "the header gives no offsets of the data; those of the text were used (or the reverse)",
    REPAIR_DATA_PADDING: "the data section is longer than its events; the filler at its end was left out",
    REPAIR_TOT_MISSING: "$TOT is missing or no number; the events were counted from the length of the data",
    REPAIR_NEXTDATA: "$NEXTDATA points to no data set; reading ended there",
    REPAIR_TEXT_END: "the text section ends too late; bytes after its last delimiter were left out",
    REPAIR_TEXT_UNTERMINATED: "the text section has no delimiter at its end",
    REPAIR_TEXT_ENCODING: "keywords are not UTF-8; they were read as Latin-1",
    REPAIR_TEXT_UTF16: "the text section is UTF-16, which the standard does not know",
    REPAIR_EMPTY_VALUE: "keywords with an empty value, which the standard forbids, were kept as empty",
    REPAIR_DUPLICATE_KEYWORD: "a keyword stands twice with different values; the last was used",
    REPAIR_SUPPLEMENTAL_TEXT: "the supplemental text section holds no keywords or lies outside the file; left out",
    REPAIR_MODE_MISSING: "$MODE is missing; list mode was assumed",
    REPAIR_BITS: "$PnB contradicts the data type; the width of the type was used",
    REPAIR_BIT_PACKED: "channels are not whole bytes; the data were read as one stream of bits",
    REPAIR_RANGE_MISSING: "$PnR is missing, zero or no number; taken from the bit width or the largest value",
    REPAIR_AMPLIFIER_MISSING: "$PnE is missing or, for floating point data, no pair of numbers; linear was assumed",
    REPAIR_LOG_ZERO: "$PnE gives 0 as the lowest value of a log amplifier; 1 was used, as FCS 3.1 advises",
    REPAIR_LOG_ON_FLOAT: "$PnE names a log amplifier for floating point data, which the standard forbids; taken as "
    "linear (amplifiers of read_fcs, of gate --amplifier and of a tube in study.yaml state it)",
    REPAIR_GAIN: "$PnG is no positive number; 1 was used",
    REPAIR_TIMESTEP: "the time step is no positive number and was not used",
    REPAIR_CHANNEL_NAME: "$PnN is missing; the channel is called Pn",
    REPAIR_DUPLICATE_NAMES: "several channels have the same $PnN; each was given its number: NAME [Pn]",
    REPAIR_SURPLUS_CHANNELS: "keywords of channels beyond $PAR were left out of the channels",
    NOTICE_DATA_SET_BROKEN: "another data set of the file cannot be read and was left out",
    NOTICE_MASKED: "integers have bits above their range ($PnR), which were taken off as FCS 3.1 has it",
    NOTICE_NOT_FINITE: "the data hold values that are no finite numbers; they were left as they are",
}

_AS_THE_STANDARD = (NOTICE_MASKED,)
"""What the standard demands of a reader and is told all the same."""

EXPORT_AGAIN = "export the file again from the cytometer"
COPY_AGAIN = "copy the file again from the cytometer"


@dataclass
class Repairs:
    """Collects the repairs of one data set, each name once, with its details in the order they were found."""

    where: str
    found: dict[str, dict[str, None]] = field(default_factory=dict)

    def note(self, name: str, detail: str = "") -> None:
        """Note one repair; ``detail`` says where in the file (channel, keyword, bytes)."""
        details = self.found.setdefault(name, {})
        if detail:
            details[detail] = None

    @property
    def texts(self) -> tuple[str, ...]:
        """``NAME: explanation (details)``, one a repair."""
        return tuple(f"{name}: {EXPLANATIONS[name]}{_listed(details)}" for name, details in self.found.items())

    def refuse(self) -> None:
        """Refuse the file when it needed any repair (strict reading).

        Raises
        ------
        FcsError
            Names all repairs.
        """
        told = [text for name, text in zip(self.found, self.texts, strict=True) if name not in _AS_THE_STANDARD]
        if told:
            what = "strict reading refuses what had to be repaired: " + "; ".join(told)
            raise FcsError(what, where=self.where, todo="read it without strict=True, or export it again")


def _listed(found: dict[str, None], shown: int = 6) -> str:
    if not found:
        return ""
    details = list(found)
    more = f" and {len(details) - shown} more" if len(details) > shown else ""
    return f" ({', '.join(details[:shown])}{more})"
