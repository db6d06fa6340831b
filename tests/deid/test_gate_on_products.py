"""The last gate over products of every kind, and over what the room made of real scans: everything is found, and nothing is withheld."""

from __future__ import annotations

import gzip
import json

import nibabel
import numpy as np

from deid import errors, verify


def test_the_last_gate_finds_values_wherever_they_are_written(tmp_path):
    removed = {"Quibblewick^Zephyrina", "19620304", "ACC7788991", "1.2.3.4.5.6", "White^Li"}
    image = nibabel.Nifti1Image(np.zeros((8, 8, 8), np.int16), np.eye(4))
    image.header["descrip"] = b"TE=3"
    nibabel.save(image, tmp_path / "clean.nii")
    (tmp_path / "clean.json").write_text(json.dumps({"EchoTime": 0.003, "Manufacturer": "White Labs", "SeriesDescription": "T1 mprage"}))
    assert verify.search([tmp_path / "clean.nii", tmp_path / "clean.json"], removed) == []
    bad = {
        "a.json": json.dumps({"Comment": "born 04.03.1962"}).encode(),
        "b.json": json.dumps({"SeriesDescription": "T2 white"}).encode(),
        "c.tsv": b"participant_id\tnote\nx\tqUIBBLEwick\n",
        "d.json": json.dumps({"X": "UXVpYmJsZXdpY2s="}).encode(),
        "e.json": json.dumps({"X": "uid 1.2.3.4.5.6"}).encode(),
        "f.nii.gz": gzip.compress((tmp_path / "clean.nii").read_bytes() + b"Zephyrina"),
        "acc7788991.json": b"{}",
        "g.json": json.dumps({"Quibblewick": 1}).encode(),
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
        found = verify.search([tmp_path / name], removed)
        assert found, name
        assert "uibble" not in repr(found) and "7788991" not in repr(found)


def test_the_last_gate_withholds_no_clean_real_scan(mri, clean):
    for case in ("ge_bold", "siemens_enh_xa30", "philips_enh_pcasl", "uih_dwi", "siemens_bold_mosaic"):
        removed, products = set(), []
        for path in [p for p in sorted((mri / "dicom" / case).rglob("*")) if p.is_file()][:12]:
            try:
                product, done = clean(path)
            except errors.Refused:
                continue
            removed |= done.removed
            products.append(product)
        assert products and verify.search(products, removed) == []
