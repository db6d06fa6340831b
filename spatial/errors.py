"""What can be wrong with a volume, said in a stable code, a sentence and an advice; never with a value that identifies a person."""

from __future__ import annotations

ADVICE: dict[str, str] = {
    "unreadable_volume": "Send the file again, or convert the series again; it is damaged or not a NIfTI volume.",
    "unsupported_values": "Send a volume of plain real numbers; colour and complex volumes are not carried.",
    "bad_dimensions": "Check the conversion: a volume has three axes, or four with time or direction last.",
    "too_large": "Split the series, or check that the header of the file is right.",
    "bad_spacing": "Check the conversion: every voxel edge must be a positive, finite length in millimetres.",
    "singular_affine": "Check the conversion: the orientation in the header does not describe a real box in space.",
    "no_orientation": "Convert the series again so that the header says where the volume lies (a qform or sform code above 0).",
    "out_of_range": "Save with a data type that can hold these values.",
    "grid_mismatch": "Resample one volume onto the grid of the other first.",
    "no_template": "Install what requirements.txt pins; the template head comes with the pydeface wheel.",
    "no_overlap": "Check that both volumes are of the same person and that their headers say where they lie.",
    "empty_volume": "Check the series: it has no contrast at all.",
    "no_device": "Choose a device this machine has; `cpu` always works.",
}


class SpatialError(Exception):
    """A volume, grid or alignment that cannot be used.

    `code` is stable snake_case, `reason` one sentence, `advice` what a person can do about it. None of them holds a value of the file.
    """

    def __init__(self, code: str, reason: str, advice: str | None = None) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.advice = ADVICE[code] if advice is None else advice

    def __reduce__(self) -> tuple[type[SpatialError], tuple[str, str, str]]:
        """Travel between processes whole."""
        return type(self), (self.code, self.reason, self.advice)
