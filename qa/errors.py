"""What can go wrong when an image is measured: every error has a stable code, a reason and an advice, and holds no identifying value."""

from __future__ import annotations


class QaError(Exception):
    """A measure or a whole image that cannot be judged.

    `code`: stable snake_case; `reason`: a sentence about the image; `advice`: what a person can do. None holds a file name or a header value.
    """

    def __init__(self, code: str, reason: str, advice: str = "") -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason
        self.advice = advice

    def __reduce__(self) -> tuple[type[QaError], tuple[str, str, str]]:
        """Travel between processes whole."""
        return type(self), (self.code, self.reason, self.advice)


# The whole list, for docs/reference/codes.md and the tests: code -> (reason, advice).
CODES: dict[str, tuple[str, str]] = {
    "unreadable": ("The image could not be read.", "Convert the series again, or send the original files."),
    "wrong_shape": ("The image has fewer than two voxels along an axis, or is neither 3D nor 4D.", "Send the whole series."),
    "wrong_geometry": ("The affine is not finite, not invertible, or gives voxels below 0.05 mm or above 30 mm.", "Convert the series again from DICOM."),
    "not_finite": ("The image holds values that are not numbers.", "Convert the series again, or send the original files."),
    "constant": ("Every voxel has the same value.", "Send the series again."),
    "no_anatomy": ("Nothing stands out from the noise: no head or body part could be told from the background.", "Check the scan, and repeat it if possible."),
    "dead_slices": ("Slices inside the anatomy hold no signal.", "Send the whole series; if the scanner made it so, refuse the scan."),
    "repeated_slices": ("Neighbouring slices inside the anatomy are copies of each other.", "Send the whole series."),
    "brain_erased": ("A region of the brain has one constant value: it was erased by processing.", "Send the scan as the scanner made it."),
    "brain_cut": ("Part of the brain lies outside the field of view.", "Use another series, or record that this one was not meant to cover the brain."),
    "cord_cut": (
        "Part of the cord segment that the series is said to show lies outside the field of view.",
        "Use another series, or name what this one shows.",
    ),
    "volumes_dead": ("Volumes of the series hold no signal.", "Send the whole series."),
    "brain_touched": ("Defacing changed voxels of the brain.", "Deface it again from the original; do not give this one out."),
    "not_included": ("The dataset asks for a protocol rule that this scan breaks.", "Use another series, or change the dataset's criteria of inclusion."),
    "bvec_mismatch": ("The diffusion directions do not fit the number of volumes, or are not unit vectors.", "Convert the series again from DICOM."),
    "no_air": ("There is no air around the object to measure.", ""),
    "air_masked": ("The air around the head is masked, so nothing measured in it means anything.", "Measure the image before skull stripping or defacing."),
    "no_head": ("No head was found.", ""),
    "no_brain": ("No brain could be placed by registration with the template.", ""),
    "no_tissue": ("The tissue classes could not be told apart.", ""),
    "one_volume": ("The measure needs at least three volumes.", ""),
    "no_gradients": ("The diffusion gradients (bval, bvec) were not given or do not fit the volumes.", "Give bval and bvec."),
    "few_volumes": ("There are too few volumes of this kind.", ""),
    "not_computable": ("The measure has no finite value on this image.", ""),
    "unknown_profile": ("There is no protocol profile of that name.", "See `qa.protocol.profiles()`."),
    "bad_profile": ("This is no protocol profile.", "Write it as qa/profiles/magnims-2024.toml is written."),
    "no_images": ("The folder holds no NIfTI image.", "Give a BIDS dataset."),
    "no_device": ("The device asked for is not there.", "Use --device cpu."),
    "no_n4": ("N4 was asked for, and SimpleITK is not installed.", "Install SimpleITK, or use --bias fit."),
    "mask_mismatch": ("A mask does not lie on the grid of the image.", "Give a mask with the shape of the image."),
}


def refusal(code: str, detail: str = "") -> QaError:
    """The error of that code, with a measured detail (numbers only) after its sentence."""
    reason, advice = CODES[code]
    return QaError(code, f"{reason} {detail}".strip(), advice)
