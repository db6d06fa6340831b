"""The whole story on one machine: from a hospital's DICOM to a participant who leaves, told through the real HTTP API, worker and carrier.

`serve` starts the real processes on a fresh folder; `story` and `recipients` are the six acts; `ledger` notes what was expected and what happened;
`search` looks for every planted identifier; `picture` and `table` show it. Nothing here touches the database: what the API cannot do, is not told.
"""
