"""`make show-bids`: the rows of the issue "Any scanner's series becomes the right BIDS image: conversion, naming, tables and masks"."""

from __future__ import annotations

import sys

import bids_convert_rows
import bids_release_rows
import bids_time_rows
from table import Row, not_quick, show

ROWS = [
    Row("shared MR series that give the reference image", "38 of 38, or refused for a stated reason that holds", bids_convert_rows.reference_images),
    Row("wrong image passed as right", "0", bids_convert_rows.wrong_passed),
    Row("bval, bvec equal to the references", "all", bids_convert_rows.gradients),
    Row("contrast named rightly", "all with a reference name; the rest in review, not guessed", bids_convert_rows.contrasts),
    Row("edge cases", "0 crashed, each with the expected verdict", bids_convert_rows.edges),
    Row("validator errors over every dataset the tests make", "0", bids_release_rows.validator),
    Row("MS case and cervical cord with masks, intake to release", "valid, mask on its image", bids_release_rows.masks_to_release),
    Row("good series refused or sent to review, listed", "at most 4 of 38; 0 plain T1w, T2w, FLAIR, BOLD, DWI", bids_convert_rows.sent_away),
    Row("time: dcm2niix + our checks, over bare dcm2niix", "at most 2", not_quick(bids_time_rows.checks)),
    Row("time: the whole, over the sum of both bare converters", "at most 1.3", not_quick(bids_time_rows.whole)),
]

if __name__ == "__main__":
    sys.exit(show("bids", ROWS))
