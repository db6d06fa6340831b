"""Words come second: a fixed vocabulary over series descriptions, never a word of them in the answer.

Patterns are matched against small letters with single blanks between tokens (`bidstree.look`). English, and the German, French, Italian and Spanish that
scanners of European hospitals speak.
"""

from __future__ import annotations

import re

from bidstree.look import Look
from bidstree.physics import Guess

LOCALIZER = r" (aa ?(head|spine|hirn)?.{0,6}scout|scout|locali[sz]er|survey|loc|3 ?plane|3 ?pl loc|smartbrain|plan scan|tri ?pilot|topogram|uebersicht)\b"
POST = r" (post|gd|gad|gado|gadolin\w*|contrast|contraste|km|\+ ?km|mit km|nach km|ce|postcontrast|post ?gad\w*|postgd|mdc|spost)\b| \+c | c\+ "
PRE = r" (pre|precontrast|nativ|native|ohne km|without|wo|non ?contrast|unenhanced|pregd|pre ?gad\w*)\b"

MT_ON = r" (mt ?1|mtc? ?(pulse )?on|with mt)\b"
MT_OFF = r" (mt ?0|mtc? ?(pulse )?off|no ?mt|without mt)\b"

# (pattern, datatype, suffix, entities), the first that matches wins: the particular before the general.
VOCABULARY: tuple[tuple[str, str, str, dict[str, str | int]], ...] = (
    (r" (mp2rage|mp2 rage)", "anat", "MP2RAGE", {}),
    (r" (dir|double inversion|double ir)\b(?! ?\d)", "anat", "FLAIR", {"acq": "dir"}),
    (r" psir\b", "anat", "T1w", {"acq": "psir"}),
    (r" (stir|t2 ?stir)\b", "anat", "T2w", {"acq": "stir"}),
    (r" (gre )?(field ?map\w*|fieldmap|fmap|b0 ?map|gre field|field mapping)", "fmap", "", {}),
    (r" (asl|pcasl|pasl|casl|3dpcasl|3dasl|arterial spin|perfusion asl|dsc|pwi|ep2d perf|perfusion)\b", "perf", "asl", {}),
    (r" (mtr|mt ?(on|off|0|1)|mtc ?(on|off)|mt ?(pulse )?(on|off)|no ?mt|without mt|with mt)\b", "anat", "MTR", {}),
    (r" (sbref|sb ref)\b", "", "sbref", {}),
    (r" (dwi|dti|dmri|diff\w*|hardi|noddi|dsi|tensor|ep2d diff|trace\w*|diffusion)", "dwi", "dwi", {}),
    (r" (swi|swan|suscept\w*|venobold|swip|qsm)", "anat", "T2starw", {"acq": "swi"}),
    (r" (bold|fmri|epi fmri|fcmri|rest|resting|rsfmri|task|func)\b", "func", "bold", {}),
    (r" (tof|angio\w*|mra)\b", "anat", "angio", {}),
    (r" (t1 ?flair|t1 tirm)", "anat", "T1w", {}),
    (r" (\w*flair\w*|dark ?fluid|tirm|t2 ?tirm|darkfluid)\b", "anat", "FLAIR", {}),
    (r" (t2 ?\*|t2 ?star\w*|t2s|t2 ?ffe|t2 fl2d|hemo|haemo|medic|merge|gre t2|ffe t2|t2 gre|multi ?echo gre|mgre)( |w\b|\b)", "anat", "T2starw", {}),
    (r" (\w*mprage|memprage|spgr|bravo|ir spgr|fspgr|t1 ?w?|t1 \w+|\d?d?t1\w*|tfl3d|tfe t1|t1 ?tfe|t1 ?se|t1 ?tse|vibe)\b", "anat", "T1w", {}),
    (r" (pd|pdw|proton density|pd ?w|prot dens)\b", "anat", "PDw", {}),
    (r" (t2 ?w?|t2 \w+|\d?d?t2\w*|fse t2|cube t2|space t2|haste)\b", "anat", "T2w", {}),
)

TASKS = ("rest", "motor", "language", "memory", "nback", "visual", "auditory", "stroop", "faces", "breathhold", "checkerboard", "movie")
DIRECTIONS = ("ap", "pa", "lr", "rl", "is", "si", "hf", "fh")
BODIES: tuple[tuple[str, str], ...] = (
    (r" (c ?spine|cspine|cervical|cerv|hws|c ?wirbel\w*|rachis cervical|halswirbel\w*|csp)\b", "CSPINE"),
    (r" (t ?spine|tspine|thoracic|thor|bws|rachis dorsal|brustwirbel\w*)\b", "TSPINE"),
    (r" (l ?spine|lspine|lumbar|lws|lendenwirbel\w*|rachis lombaire)\b", "LSPINE"),
    (r" (spine|cord|rueckenmark|myelon|moelle)\b", "SPINE"),
)
_BODY_CODES = {
    "CSPINE": "CSPINE",
    "TSPINE": "TSPINE",
    "LSPINE": "LSPINE",
    "SPINE": "SPINE",
    "BRAIN": "BRAIN",
    "HEAD": "BRAIN",
    "SKULL": "BRAIN",
    "NECK": "CSPINE",
}


def guess(m: Look) -> Guess | None:
    """What the words say, or None; `sure` is what words alone are worth."""
    for pattern, datatype, suffix, entities in VOCABULARY:
        if re.search(pattern, m.words):
            return Guess(datatype, suffix, 0.8, "the words of the protocol", dict(entities))
    return None


def task(m: Look) -> str:
    """A task of the vocabulary, or `unnamed`: free text never becomes a file name."""
    return next((name for name in TASKS if re.search(rf" {name}", m.words)), "unnamed")


def direction(m: Look) -> str | None:
    """The phase-encoding direction that the words name (AP, PA, LR, RL), in capitals."""
    for name in DIRECTIONS[:4]:
        if re.search(rf" {name} ", m.words):
            return name.upper()
    return None


def body(m: Look) -> str:
    """BRAIN, CSPINE, TSPINE, LSPINE or SPINE; words before BodyPartExamined, which many scanners set to the same value for everything."""
    for pattern, name in BODIES:
        if re.search(pattern, m.words):
            return name
    return next((name for code, name in _BODY_CODES.items() if code == m.body), "BRAIN")
