"""How a piece of a product is read: what may stand in it decides what is looked for.

free: what people typed. text: what machines write. sequence: the name of a sequence. numbers: nothing but numbers. clock: times of day. day: a date of its
own (DA, DT). uid: UIDs. label: a word we drew ourselves. bytes: anything may stand in it. voxels: picture values.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

Buffer = bytes | memoryview
Manner = Literal["free", "text", "sequence", "numbers", "clock", "day", "uid", "label", "bytes", "voxels"]

# What we write ourselves: the code of a person, and a replaced UID.
OWN_CODE = re.compile(r"[a-z2-7]{26}\Z")
OWN_UID = re.compile(r"2\.25\.\d{30,39}\Z")


class Part(NamedTuple):
    """A piece of a product. where: which part (never a value); text: what it says, or its bytes; manner: how it is read."""

    where: str
    text: str | Buffer
    manner: Manner = "text"
