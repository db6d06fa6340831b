"""I carry one upload from DICOM to BIDS, in one order, without a database.

An order in, an outcome out, both plain JSON with a schema. `steps` holds the order of the steps; `isolate` runs every parse of
untrusted bytes in a child process; `sort` says whose a study is, by code only; `carrier` takes orders from a folder; `standalone` is the
whole of it for a hospital's own desk.
"""
