"""Names of files and folders are typed by people: words of them that are no words of imaging may be somebody's, and are searched for in what goes out.

They are matched against vocabularies and never copied, so nothing of them should be found. This is for the last gate to show it.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from bidstree import foreign, masks, said
from bidstree import names as bids_names
from deid.vocabulary import is_vocabulary

__all__ = ["words"]

LEAST = 4  # letters; shorter words stand in every text by chance
_WORD = re.compile(r"[^\W\d_]+")
_CAMEL = re.compile(r"[^\W\d_a-z]+(?![^\W\d_A-Z])|[^\W\d_a-z]?[^\W\d_A-Z]+")
_NUMBER = re.compile(r"(?<!\d)\d{9,}(?!\d)")
# Words that we write ourselves: in names of folders and files, and in the JSON of annotations.
_WRITTEN = (
    "derivatives annotations annotation scanner common aligned processed majority staple nearest probseg mask masks dseg rater reader expert annotator lesion "
    "defaced skullstripped skull stripped registered sources spatial reference resampled reorientation manual method agreement labels flipped axes "
    "separate included estimate absent arbitrary gadolinium iodine carbon dioxide barium xenon unknown"
)


def ours() -> frozenset[str]:
    """Words of our own closed lists, in small letters."""
    lists = (
        _WRITTEN.split(),
        said.CONTRASTS,
        said.MEANINGS,
        said.PROCESSED,
        said.BODIES,
        masks.LABELS,
        foreign.TASKS,
        foreign.WORDS,
        (suffix for _, suffix in bids_names.RULES),
    )
    spaces = (part for space in said.SPACES for word in _WORD.findall(space) for part in (word, *_CAMEL.findall(word)))
    values = (str(value) for _, _, entities in said.CONTRASTS.values() for value in entities.values())
    return frozenset(word.lower() for words_ in (*lists, spaces, values) for word in words_)


def words(name: str) -> set[str]:
    """Words of a path that may be somebody's: four letters or more (whole and in their camelCase parts) and no word of a vocabulary; numbers of nine digits.

    `name`: relative, as the file was found. Empty for names like `patient01/study1_FLAIR.nii.gz`, and for the numbers of a registry's quarantine.
    """
    path = re.sub(r"\.nii(\.gz)?$", "", PurePosixPath(name).as_posix(), flags=re.IGNORECASE)
    known = ours()
    whole = {word for word in _WORD.findall(path) if not is_vocabulary(word)}
    found = {part for word in whole for part in (word, *_CAMEL.findall(word)) if len(part) >= LEAST}
    return {word for word in found if word.lower() not in known and not is_vocabulary(word)} | set(_NUMBER.findall(path))
