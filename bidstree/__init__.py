"""I turn series into NIfTI and lay them out as BIDS.

A folder of one de-identified DICOM series goes in (`convert.series`); NIfTI images, each with evidence that its voxels lie where the scanner said, come
out. `classify.contrast` says which contrast an image is, `names.path` what BIDS calls it, `sidecar.clean` which of its fields may stay,
`masks.attach` which image an annotation was drawn on, `dataset.assemble` makes a whole dataset of pieces, and `check.validate` asks the official
validator and a few questions of our own. Nothing here knows a database, a person or the network.
"""
