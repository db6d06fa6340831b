"""What a contributor may say of a file whose name is never sent: words of closed vocabularies, so that no word typed by anybody becomes a name.

A NIfTI says little about itself, so its sender names the contrast by a word of `CONTRASTS`; an annotation's label is a word of `bidstree.masks.LABELS`,
the meaning of each value of a map of labels is a word of `MEANINGS` with at most three digits (`C3`, `disc12`). A rater is a code, never a name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bidstree import classify
from bidstree.classify import Contrast

# word -> (datatype, suffix, entities)
CONTRASTS: dict[str, tuple[str, str, dict[str, str | int]]] = {
    "T1w": ("anat", "T1w", {}),
    "T1wGd": ("anat", "T1w", {"ce": "gadolinium"}),
    "T2w": ("anat", "T2w", {}),
    "PDw": ("anat", "PDw", {}),
    "FLAIR": ("anat", "FLAIR", {}),
    "FLAIRGd": ("anat", "FLAIR", {"ce": "gadolinium"}),
    "DIR": ("anat", "FLAIR", {"acq": "dir"}),
    "PSIR": ("anat", "T1w", {"acq": "psir"}),
    "STIR": ("anat", "T2w", {"acq": "stir"}),
    "T2starw": ("anat", "T2starw", {}),
    "SWI": ("anat", "T2starw", {"acq": "swi"}),
    "UNIT1": ("anat", "UNIT1", {}),
    "T1map": ("anat", "T1map", {}),
    "MTon": ("anat", "MTR", {"mt": "on"}),
    "MToff": ("anat", "MTR", {"mt": "off"}),
    "angio": ("anat", "angio", {}),
    "dwi": ("dwi", "dwi", {}),
    "ADC": ("dwi", "ADC", {}),
    "FA": ("dwi", "FA", {}),
    "trace": ("dwi", "trace", {}),
    "bold": ("func", "bold", {"task": "unnamed"}),
    "rest": ("func", "bold", {"task": "rest"}),
}
PROCESSED = ("registered", "skullstripped")
# Template spaces of volumes (BIDS 1.11, appendix "Coordinate systems": image-based), and the cord's PAM50 (De Leener et al. 2018,
# 10.1016/j.neuroimage.2017.10.041).
SPACES = (
    "ICBM452AirSpace", "ICBM452Warp5Space", "IXI549Space", "MNI152Lin", "MNI152NLin2009aAsym", "MNI152NLin2009aSym", "MNI152NLin2009bAsym",
    "MNI152NLin2009bSym", "MNI152NLin2009cAsym", "MNI152NLin2009cSym", "MNI152NLin6Asym", "MNI152NLin6Sym", "MNI305", "MNIColin27", "NIHPD",
    "OASIS30AntsOASISAnts", "OASIS30Atropos", "PAM50", "Talairach", "UNCInfant",
)  # fmt: skip
BODIES = ("BRAIN", "CSPINE", "TSPINE", "LSPINE", "SPINE")
# What a value of a map of labels may mean (BIDS common labels, and those of spines and lesions); up to three digits may follow.
_MEANINGS = (
    "BG GM WM CSF B ST NR L BS CBM SCGM SC C T S cord canal vertebra disc nerve muscle lesion new enlarging shrinking resolved stable enhancing "
    "hypointense edema necrosis core tumor stroke hemorrhage brain left right ventricle thalamus caudate putamen pallidum hippocampus amygdala label"
)
MEANINGS = frozenset(_MEANINGS.split())
RATER = re.compile(r"(r|rater|reader|expert|annotator)?[0-9]{1,3}", re.ASCII)
_SURE = 0.9


def space(name: str) -> str:
    """The template space that a file's name gives as BIDS does (`sub-1_space-MNI152Lin_T1w.nii.gz`); empty for none, and for one that is not of `SPACES`."""
    found = re.search(r"(?:^|_)space-([A-Za-z0-9]+)(?=[_.]|$)", name)
    return found[1] if found and found[1] in SPACES else ""


def means(dictionary: Mapping[str, int]) -> bool:
    """Whether every name of a dictionary of labels is a word of `MEANINGS`, with at most three digits after it."""
    return all(re.fullmatch(r"([A-Za-z]+?)[0-9]{0,3}", name) and re.sub(r"[0-9]+$", "", name) in MEANINGS for name in dictionary)


def contrast(word: str, answer: Contrast, given: Mapping[str, Any], body: str = "") -> Contrast:
    """The contrast that a sender's word names. `answer`: what sidecar and gradients alone say of it; where they are sure of something else, a person decides.

    `given`: the sidecar, for the fields that BIDS requires. Raises KeyError for a word that is not of `CONTRASTS`.
    """
    datatype, suffix, entities = CONTRASTS[word]
    fields: dict[str, Any] = {"BodyPart": body or answer.fields.get("BodyPart", "BRAIN")}
    if "mt" in entities:
        fields["MTState"] = entities["mt"] == "on"
    if "ce" in entities:
        fields["ContrastBolusIngredient"] = "GADOLINIUM"
    if "task" in entities:
        fields["TaskName"] = entities["task"]
    entities = dict(entities)
    if fields["BodyPart"] != "BRAIN":
        entities["acq"] = f"{fields['BodyPart'].lower()}{entities.get('acq', '')}"
    named = Contrast(datatype, suffix, entities, _SURE, "said by the sender", fields=fields, candidates=answer.candidates)
    if answer.code == "ok" and answer.confidence >= classify.MEASURED and (answer.datatype, answer.suffix) != (datatype, suffix):
        others = ((answer.datatype, answer.suffix, answer.confidence), (datatype, suffix, 0.6))
        return replace(named, confidence=0.6, words=f"said by the sender, but: {answer.words}", candidates=others)
    return classify.complete(named, given)
