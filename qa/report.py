"""The page people read: the picture first, then the grade, the three numbers that drove it beside what is usual here, the protocol, the rest folded.

Static HTML with its pictures inside (data: addresses), no script, no network; readable on a phone, by keyboard and in print. `strip` is the same in
one PNG: a row per image. Pictures of heads before defacing show faces: both functions leave `whole` and `background` of such reports out unless told.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qa.metrics import METRICS
from qa.pictures import SIDE, TILES

GAP = 12
WIDE = TILES * (SIDE + 2) - 2
TEXT = 640
COLOURS = {"pass": (34, 120, 60), "review": (180, 110, 0), "fail": (170, 30, 30)}


def png(image: NDArray[np.uint8]) -> bytes:
    """A grey (h, w) or colour (h, w, 3) uint8 array as PNG, without metadata."""
    from PIL import Image

    sink = io.BytesIO()
    Image.fromarray(image).save(sink, format="PNG", optimize=True)
    return sink.getvalue()


def _picture(report: Mapping[str, Any], faces: bool) -> NDArray[np.uint8] | None:
    shown: Mapping[str, NDArray[np.uint8]] = getattr(report, "pictures", {})
    order = ("brain", "background", "whole") if faces or report.get("stage") == "post-deface" else ("brain",)
    return next((shown[name] for name in order if name in shown), None)


def strip(reports: Mapping[str, Mapping[str, Any]] | Iterable[Mapping[str, Any]], *, faces: bool = False) -> bytes:
    """The quality strip as PNG: per image the brain mosaic, the grade, the first reason, and the three numbers that drove the grade.

    `reports`: label -> report, or just reports (labelled by contrast). Labels are drawn as given: give codes or BIDS names, nothing else.
    """
    rows = list(reports.items()) if isinstance(reports, Mapping) else [(str(r.get("suffix", "")), r) for r in reports]
    from PIL import Image, ImageDraw

    canvas = Image.new("RGB", (WIDE + TEXT + 3 * GAP, max(1, len(rows)) * (SIDE + GAP) + GAP), (24, 24, 26))
    draw = ImageDraw.Draw(canvas)
    for i, (label, report) in enumerate(rows):
        top = GAP + i * (SIDE + GAP)
        shown = _picture(report, faces)
        if shown is None:
            draw.rectangle((GAP, top, GAP + WIDE, top + SIDE), outline=(70, 70, 74))
            draw.text((GAP + 16, top + SIDE // 2 - 8), "no picture that shows no face", fill=(150, 150, 150), font=_font(15))
        else:
            canvas.paste(Image.fromarray(shown).convert("RGB").crop((0, 0, WIDE, SIDE)), (GAP, top))
        _words(draw, 2 * GAP + WIDE, top, label, report)
    sink = io.BytesIO()
    canvas.save(sink, format="PNG", optimize=True)
    return sink.getvalue()


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _words(draw: Any, left: int, top: int, label: str, report: Mapping[str, Any]) -> None:
    grade = str(report.get("grade", "?"))
    draw.rounded_rectangle((left, top, left + 92, top + 28), 6, fill=COLOURS.get(grade, (90, 90, 90)))
    draw.text((left + 46, top + 14), grade, fill=(255, 255, 255), font=_font(18), anchor="mm")
    draw.text((left + 104, top + 5), label[:60], fill=(235, 235, 235), font=_font(16))
    reasons = report.get("reasons") or [str(report.get("norm", ""))]
    for n, line in enumerate(_wrapped(str(reasons[0]), 84)[:2]):
        draw.text((left, top + 34 + 16 * n), line, fill=(190, 190, 195), font=_font(13))
    for n, name in enumerate(report.get("drivers", [])[:3]):
        _number(draw, left, top + 72 + 19 * n, name, report["metrics"][name])


def _number(draw: Any, left: int, top: int, name: str, entry: Mapping[str, Any]) -> None:
    """One line: measure, value with unit, and the strip of the norm (5th to 95th percentile, median, this scan)."""
    unit = "" if entry["unit"] == "1" else f" {entry['unit']}"
    draw.text((left, top), f"{name}", fill=(235, 235, 235), font=_font(14))
    draw.text((left + 150, top), f"{entry['value']:.3g}{unit}", fill=(235, 235, 235), font=_font(14))
    bounds = entry.get("norm_percentiles")
    if not bounds:
        draw.text((left + 260, top + 1), METRICS[name].sentence[:62], fill=(140, 140, 145), font=_font(12))
        return
    x0, x1 = left + 260, left + 560
    draw.line((x0, top + 9, x1, top + 9), fill=(120, 120, 125), width=3)
    for value, colour, half in ((bounds[2], (200, 200, 205), 5), (entry["value"], (255, 170, 40), 8)):
        x = x0 + (x1 - x0) * min(1.06, max(-0.06, _at(value, bounds)))
        draw.line((x, top + 9 - half, x, top + 9 + half), fill=colour, width=3)


def _at(value: float, bounds: Sequence[float]) -> float:
    return (value - bounds[0]) / max(bounds[-1] - bounds[0], 1e-12)


def _wrapped(text: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width) or [""]


# Pages ---------------------------------------------------------------------------------------------------------------------------------------------

STYLE = """
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;margin:0 auto;max-width:68rem;padding:1rem}
img{max-width:100%;height:auto;background:#000;border-radius:4px}table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #8886;vertical-align:top}td.n{font-variant-numeric:tabular-nums;white-space:nowrap}
.grade{display:inline-block;padding:.1rem .8rem;border-radius:.4rem;color:#fff;font-weight:600}
.pass{background:#22783c}.review{background:#8f5600}.fail{background:#aa1e1e}
.three{display:grid;grid-template-columns:repeat(auto-fit,minmax(15rem,1fr));gap:1rem}.three>div{border:1px solid #8886;border-radius:.5rem;padding:.7rem}
.big{font-size:1.7rem;font-variant-numeric:tabular-nums}svg{width:100%;height:28px}summary{cursor:pointer;padding:.4rem 0}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(20rem,1fr));gap:1rem}.scroll{overflow-x:auto}
@media print{details{display:block}details>*{display:block}body{max-width:none}}
"""


def page(
    report: Mapping[str, Any],
    title: str,
    *,
    protocol: Mapping[str, Any] | None = None,
    faces: bool = False,
    verdict: Mapping[str, Any] | None = None,
) -> str:
    """The page of one image as a whole HTML document.

    `title`: a BIDS name; `protocol`: what `qa.protocol.check` gave; `verdict`: what a steward decided ({state, reason}), shown beside the grade, which
    it does not change.
    """
    parts = [f"<h1>{html.escape(title)}</h1>", _grade(report), _person(verdict), _pictures(report, faces), _three(report)]
    parts += [_protocol(protocol), _integrity(report), _masks(report), _all(report), _unavailable(report), _provenance(report)]
    return _document(title, "\n".join(p for p in parts if p))


def _document(title: str, body: str) -> str:
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{html.escape(title)}</title>'
    return f'<!doctype html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head><body><main>\n{body}\n</main></body></html>\n'


def _img(image: NDArray[np.uint8], words: str) -> str:
    return f'<img alt="{html.escape(words)}" src="data:image/png;base64,{base64.b64encode(png(image)).decode("ascii")}">'


def _grade(report: Mapping[str, Any]) -> str:
    grade = str(report["grade"])
    reasons = "".join(f"<li>{html.escape(r)}</li>" for r in report["reasons"])
    return f'<p><span class="grade {grade}">{grade}</span> {html.escape(str(report["norm"]))}</p>' + (f"<ul>{reasons}</ul>" if reasons else "")


def _person(verdict: Mapping[str, Any] | None) -> str:
    if not verdict:
        return "<p>No person has decided about this scan yet.</p>"
    why = f": {html.escape(str(verdict['reason']))}" if verdict.get("reason") else ""
    return f"<p>A steward's verdict, beside the grade: <strong>{html.escape(str(verdict['state']))}</strong>{why}</p>"


def _integrity(report: Mapping[str, Any]) -> str:
    kept = report.get("integrity")
    if not kept:
        return ""
    said = f"{kept['brain_changed']:.0f} of {kept['compared']:.0f} brain voxels changed, {kept['brain_holes']:.0f} of them set to 0"
    return f"<h2>After defacing</h2><p>{said}. Measures of the air do not apply any more.</p>"


def _masks(report: Mapping[str, Any]) -> str:
    shown: Mapping[str, NDArray[np.uint8]] = getattr(report, "pictures", {})
    if "masks" not in shown:
        return ""
    words = "Where brain (grey) and white matter (white) were taken to be"
    return f"<details><summary>Masks</summary><figure>{_img(shown['masks'], words)}<figcaption>{words}</figcaption></figure></details>"


WORDS = {"background": "Three planes, background enhanced", "brain": "Axial slices of the brain", "whole": "Three planes"}


def _pictures(report: Mapping[str, Any], faces: bool) -> str:
    shown: Mapping[str, NDArray[np.uint8]] = getattr(report, "pictures", {})
    safe = faces or report.get("stage") == "post-deface"
    names = [n for n in ("background", "brain", "whole") if n in shown and (safe or n == "brain")]
    figures = "".join(f"<figure>{_img(shown[n], WORDS[n])}<figcaption>{WORDS[n]}</figcaption></figure>" for n in names)
    return figures or "<p>No picture.</p>"


def _value(entry: Mapping[str, Any]) -> str:
    if entry["value"] is None:
        return "not available"
    return f"{entry['value']:.4g}" + ("" if entry["unit"] == "1" else f" {html.escape(entry['unit'])}")


def _three(report: Mapping[str, Any]) -> str:
    boxes = []
    for name in report.get("drivers", []):
        entry = report["metrics"][name]
        said = f"{entry['norm_key']}, {entry['norm_n']} scans" if entry.get("norm_n") else "no norm yet"
        words = f"<div>{html.escape(METRICS[name].sentence)} <code>{name}</code></div>"
        boxes.append(f'<div>{words}<div class="big">{_value(entry)}</div>{plot(entry)}<small>{html.escape(said)}</small></div>')
    return f'<h2>What drove the grade</h2><div class="three">{"".join(boxes)}</div>'


def plot(entry: Mapping[str, Any]) -> str:
    """The strip of a norm as SVG: 5th to 95th percentile as a line, quartiles as a bar, the median, and this scan as a dot; empty without a norm."""
    bounds = entry.get("norm_percentiles")
    if not bounds or entry["value"] is None:
        return ""
    x = [20 + 260 * min(1.07, max(-0.07, _at(v, bounds))) for v in (*bounds, entry["value"])]
    words = f"This scan {entry['value']:.3g}; usual {bounds[0]:.3g} to {bounds[-1]:.3g}, median {bounds[2]:.3g}"
    return (
        f'<svg viewBox="0 0 300 28" role="img" aria-label="{html.escape(words)}">'
        f'<line x1="{x[0]:.0f}" x2="{x[4]:.0f}" y1="14" y2="14" stroke="#888" stroke-width="2"/>'
        f'<rect x="{x[1]:.0f}" width="{max(1, x[3] - x[1]):.0f}" y="8" height="12" fill="#8886"/>'
        f'<line x1="{x[2]:.0f}" x2="{x[2]:.0f}" y1="5" y2="23" stroke="#888" stroke-width="3"/>'
        f'<circle cx="{x[5]:.0f}" cy="14" r="6" fill="#d97706"/></svg>'
    )


def _protocol(protocol: Mapping[str, Any] | None) -> str:
    if not protocol:
        return ""
    rows = _rows(protocol.get("checks", ()), ("says", "expected", "found", "status"))
    head = f"<h2>Protocol: {html.escape(str(protocol['verdict']))}</h2><p>{html.escape(str(protocol.get('profile', '')))}</p>"
    head += f'<div class="scroll"><table><tr><th>rule</th><th>expected</th><th>found</th><th>status</th></tr>{rows}</table></div>'
    visit = protocol.get("visit")
    if not visit or not visit["findings"]:
        return head
    said = f"<h3>The visit, for {html.escape(str(visit['purpose']))}: {html.escape(str(visit['verdict']))}</h3>"
    found = _rows(visit["findings"], ("says", "kind", "status"))
    return head + said + f'<div class="scroll"><table><tr><th>contrast</th><th></th><th>status</th></tr>{found}</table></div>'


def _rows(found: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    return "".join("<tr>" + "".join(f"<td>{html.escape(str(one[column]))}</td>" for column in columns) + "</tr>" for one in found)


def _all(report: Mapping[str, Any]) -> str:
    rows = "".join(
        f'<tr><td>{html.escape(METRICS[n].sentence)}</td><td><code>{n}</code></td><td class="n">{_value(e)}</td><td>{e["direction"]}</td>'
        f'<td class="n">{e.get("percentile", "")}</td></tr>'
        for n, e in report["metrics"].items()
        if e["value"] is not None
    )
    head = "<tr><th>measure</th><th>name</th><th>value</th><th>good</th><th>percentile</th></tr>"
    return f'<details><summary>All measures</summary><div class="scroll"><table>{head}{rows}</table></div></details>'


def _unavailable(report: Mapping[str, Any]) -> str:
    rows = "".join(f"<tr><td><code>{n}</code></td><td>{html.escape(why)}</td></tr>" for n, why in report["unavailable"].items())
    return f"<details><summary>Not available, and why ({len(report['unavailable'])})</summary><table>{rows}</table></details>" if rows else ""


def _provenance(report: Mapping[str, Any]) -> str:
    keys = ("schema", "qa_version", "suffix", "kind", "stage", "device", "shape", "voxel_mm", "norm_key")
    rows = "".join(f"<tr><td>{k}</td><td>{html.escape(str(report.get(k, '')))}</td></tr>" for k in keys)
    return f"<details><summary>Where this came from</summary><table>{rows}</table></details>"


def cohort(
    reports: Mapping[str, Mapping[str, Any]],
    title: str = "Quality of the dataset",
    links: Mapping[str, str] | None = None,
    when: Mapping[str, float] | None = None,
) -> str:
    """The page of a dataset: counts of grades, a thumbnail per image (worst grade first), a strip plot per measure and contrast, and drift per scanner.

    `when`: name -> time of the scan in days from any start; scans without one are left out of the drift.
    """
    order = {"fail": 0, "review": 1, "pass": 2}
    names = sorted(reports, key=lambda n: (order.get(str(reports[n]["grade"]), 3), n))
    counts = {g: sum(r["grade"] == g for r in reports.values()) for g in order}
    said = ", ".join(f"{n} {g}" for g, n in counts.items())
    cards = "".join(_card(n, reports[n], (links or {}).get(n)) for n in names)
    plots = "".join(_spread(suffix, [r for r in reports.values() if r["suffix"] == suffix]) for suffix in sorted({str(r["suffix"]) for r in reports.values()}))
    body = f'<h1>{html.escape(title)}</h1><p>{len(reports)} images: {said}.</p><h2>Images</h2><div class="grid">{cards}</div><h2>Spread</h2>{plots}'
    body += _drifts(reports, when or {})
    return _document(title, body)


def _card(name: str, report: Mapping[str, Any], link: str | None) -> str:
    shown = _picture(report, faces=False)
    image = _img(shown, f"Brain of {name}") if shown is not None else ""
    label = html.escape(name) if link is None else f'<a href="{html.escape(link)}">{html.escape(name)}</a>'
    why = f"<br><small>{html.escape(report['reasons'][0])}</small>" if report["reasons"] else ""
    return f'<div>{image}<div><span class="grade {report["grade"]}">{report["grade"]}</span> {label}{why}</div></div>'


def _spread(suffix: str, reports: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for name in METRICS:
        values = [r["metrics"][name]["value"] for r in reports if r["metrics"].get(name, {}).get("value") is not None]
        if len(values) < 2 or not METRICS[name].judged:
            continue
        low, high = min(values), max(values)
        dots = "".join(f'<circle cx="{10 + 280 * (v - low) / max(high - low, 1e-12):.0f}" cy="14" r="4" fill="#d9770699"/>' for v in values)
        svg = f'<svg viewBox="0 0 300 28" role="img" aria-label="{name} of {len(values)} images, {low:.3g} to {high:.3g}">{dots}</svg>'
        rows.append(f'<tr><td><code>{name}</code></td><td class="n">{low:.3g}</td><td style="width:50%">{svg}</td><td class="n">{high:.3g}</td></tr>')
    return (
        f'<details open><summary>{html.escape(suffix)} ({len(reports)})</summary><div class="scroll"><table>{"".join(rows)}</table></div></details>'
        if rows
        else ""
    )


# Drift -----------------------------------------------------------------------------------------------------------------------------------------------

DRIFT = ("noise_sigma", "snr_total", "cjv", "inu_range", "tsnr", "snr_b0")
"""The measures followed over time: a coil that fails or a sequence that was changed shows in them first."""
LEAST_DRIFT = 5


def _drifts(reports: Mapping[str, Mapping[str, Any]], when: Mapping[str, float]) -> str:
    """Per scanner (contrast, voxel class, field, maker, model) and measure: every scan over time, with the slope as a rank correlation."""
    groups: dict[str, list[str]] = {}
    for name in sorted(set(reports) & set(when), key=lambda n: when[n]):
        groups.setdefault(" ".join(map(str, reports[name].get("norm_key", ()))), []).append(name)
    parts = [_drift(key, names, reports, when) for key, names in sorted(groups.items()) if len(names) >= LEAST_DRIFT]
    told = "".join(parts) or f"<p>No scanner has {LEAST_DRIFT} scans with a time.</p>"
    return f"<h2>Drift over time, per scanner</h2>{told}"


def _drift(key: str, names: Sequence[str], reports: Mapping[str, Mapping[str, Any]], when: Mapping[str, float]) -> str:
    rows = []
    for measure in DRIFT:
        seen = [(when[n], reports[n]["metrics"][measure]["value"]) for n in names if reports[n]["metrics"].get(measure, {}).get("value") is not None]
        if len(seen) >= LEAST_DRIFT:
            x, y = np.array(seen).T
            words = f"{measure} over {x.max() - x.min():.0f} days, {len(seen)} scans, rank correlation with time {ranked(x, y):+.2f}"
            rows.append(f'<tr><td><code>{measure}</code></td><td class="n">{ranked(x, y):+.2f}</td><td style="width:60%">{_timeline(x, y, words)}</td></tr>')
    head = "<tr><th>measure</th><th>rank correlation with time</th><th>scans, first to last</th></tr>"
    return f'<details open><summary>{html.escape(key)}</summary><div class="scroll"><table>{head}{"".join(rows)}</table></div></details>' if rows else ""


def ranked(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Spearman's rank correlation; 0 where one of the two does not vary. Ties share their mean rank."""
    a, b = (_ranks(v) for v in (x, y))
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / norm if norm > 0 else 0.0


def _ranks(v: NDArray[np.float64]) -> NDArray[np.float64]:
    _, place, count = np.unique(v, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - (count - 1) / 2)[place], dtype=np.float64)


def _timeline(x: NDArray[np.float64], y: NDArray[np.float64], words: str) -> str:
    """Dots over time, lowest value at the bottom, with the median as a line."""
    across = 10 + 280 * (x - x.min()) / max(float(np.ptp(x)), 1e-12)
    low, span = float(y.min()), max(float(np.ptp(y)), 1e-12)
    up = 46 - 40 * (y - low) / span
    middle = 46 - 40 * (float(np.median(y)) - low) / span
    dots = "".join(f'<circle cx="{a:.0f}" cy="{b:.0f}" r="3" fill="#d97706"/>' for a, b in zip(across, up, strict=True))
    line = f'<line x1="10" x2="290" y1="{middle:.0f}" y2="{middle:.0f}" stroke="#888"/>'
    return f'<svg viewBox="0 0 300 52" style="height:52px" role="img" aria-label="{html.escape(words)}">{line}{dots}</svg>'
