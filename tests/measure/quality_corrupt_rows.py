"""The row of `make show-quality` about graded corruptions: does the measure that should notice an artefact rise with it, and tell it from a clean scan.

Per kind: Spearman of the score with severity (0 and four strengths) inside one realisation, averaged; and the area under the ROC curve of the two severe
strengths against clean volumes, after a robust z per head (a norm per scanner does the same). The score is the largest bad-direction z of the measures
that KINDS names beforehand. Where an artefact does not move the head, the clean partner's registration is taken, as after defacing. The negative
control scores fresh clean volumes with invented severities in the same way; a kind counts only if it beats the control by 0.1 too. Each volume is
measured once per version of qa/; a broken run goes on.
"""

from __future__ import annotations

import hashlib
import json
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from quality_corrupt import KINDS, STRENGTHS
from quality_heads import BASES, FACTS, visit
from scipy import stats
from table import ROOT, Result

from qa.metrics import METRICS

Report = dict[str, Any]
OUT = ROOT / "build" / "quality"
LEAST, RHO, AUC, ABOVE = 20, 0.8, 0.95, 0.1
REALISATIONS = {"quick": (("xa30_t1", 1),), "usual": (("xa30_t1", 1),), "full": tuple((name, n) for n in (1, 2) for name in BASES)}
CLEAN = {"quick": 5, "usual": 40, "full": 40}
FIRST_CLEAN = 2000
"""The clean volumes of a head: the same that its norms are made of in the row about false alarms, kept apart from the realisations that are spoiled."""
BAD = {"low": 1, "high": -1}
"""The bad direction is that of the table of measures, whatever is seen here."""
DRAWS = 40
"""How often the control invents severities."""


def store() -> Path:
    """Measures belong to the code that made them."""
    here = Path(__file__).parent
    later = ("report.py", "pictures.py", "__main__.py", "protocol.py", "norms.py")  # what comes after measuring and facts
    files = [
        *sorted(f for f in (ROOT / "qa").glob("*.py") if f.name not in later),
        *(here / f"quality_{name}.py" for name in ("corrupt", "heads", "peer_work")),
    ]
    return OUT / f"measured-{hashlib.sha256(b''.join(f.read_bytes() for f in files)).hexdigest()[:12]}.jsonl"


def known() -> dict[str, Report]:
    path = store()
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return {line["volume"]: line for line in lines}


def measured(wanted: dict[str, Any]) -> dict[str, Report]:
    """Label -> report (grade, flags, reasons, values) of volumes, made and measured only where the store lacks them."""
    import torch

    import qa

    torch.set_num_threads(1)
    OUT.mkdir(parents=True, exist_ok=True)
    done = known()
    for label, (make, name, *same) in wanted.items():
        if label in done:
            continue
        report = qa.measure(make(), "T1w", facts=FACTS[name], placement=done[same[0]]["placement"] if same else None)
        values = {n: e["value"] for n, e in report["metrics"].items()}
        kept = {k: report[k] for k in ("grade", "flags", "reasons", "norm_key", "qa_version", "stage", "placement")}
        done[label] = {"volume": label, "values": values, **kept}
        with store().open("a") as sink:
            sink.write(json.dumps(done[label]) + "\n")
    return {label: done[label] for label in wanted}


def clean_label(name: str, seed: int) -> str:
    return f"{name}/{seed}/clean"


def clean(name: str, seed: int) -> tuple[Any, ...]:
    return lambda: visit(name, seed).scanned(), name


def spoiled(name: str, seed: int, kind: str, s: float) -> tuple[Any, ...]:
    draw = [zlib.crc32(kind.encode()), zlib.crc32(name.encode()), seed]  # the same draw at every strength: only the strength differs
    same = () if KINDS[kind].moves else (clean_label(name, seed),)
    return lambda: KINDS[kind].make(visit(name, seed), s, np.random.default_rng(draw)), name, *same


def graded(depth: str) -> Result:
    """How many of the 22 kinds pass, which do not and with what, and the best of the negative control."""
    wanted = {}
    for name, seed in REALISATIONS[depth]:
        wanted[clean_label(name, seed)] = clean(name, seed)
        wanted |= {f"{name}/{seed}/{kind}/{s}": spoiled(name, seed, kind, s) for kind in KINDS for s in STRENGTHS}
    for name in {name for name, _ in REALISATIONS[depth]}:
        wanted |= {clean_label(name, FIRST_CLEAN + n): clean(name, FIRST_CLEAN + n) for n in range(CLEAN[depth])}
    reports = measured(wanted)
    lines = {kind: scored(kind, reports, depth) for kind in KINDS}
    (OUT / "graded.json").write_text(json.dumps(lines, indent=1))
    passed = [kind for kind, line in lines.items() if line["passed"]]
    missed = "; ".join(f"{k}: rho {v['rho']:.2f} AUC {v['auc']:.2f}" for k, v in lines.items() if not v["passed"])
    control = f"control: largest mean rho {max(v['control_rho'] for v in lines.values()):.2f}, AUC {max(v['control_auc'] for v in lines.values()):.2f}"
    number = len(REALISATIONS[depth])
    figure = f"{len(passed)} of {len(KINDS)} kinds ({number} realisations, {len(reports)} volumes); not: {missed or 'none'}; {control}"
    return Result(figure, met=len(passed) >= LEAST, sample=depth != "full")


def scored(kind: str, reports: dict[str, Report], depth: str) -> dict[str, Any]:
    """rho, auc, the same of the control, and whether the kind passes."""
    rhos: list[float] = []
    severe: list[float] = []
    fresh: list[float] = []
    false_rhos: list[float] = []
    false_severe: list[float] = []
    for name in dict.fromkeys(name for name, _ in REALISATIONS[depth]):
        free = [reports[clean_label(name, FIRST_CLEAN + n)] for n in range(CLEAN[depth])]
        z = scorer(kind, free)
        fresh += leave_one_out(kind, free)
        for seed in (seed for one, seed in REALISATIONS[depth] if one == name):
            row = [z(reports[clean_label(name, seed)])] + [z(reports[f"{name}/{seed}/{kind}/{s}"]) for s in STRENGTHS]
            rhos.append(rho(row))
            severe += row[3:]
            fresh.append(row[0])
        alone, draw = leave_one_out(kind, free), np.random.default_rng(len(free))
        for _ in range(DRAWS):
            invented = [alone[n] for n in draw.choice(len(alone), 1 + len(STRENGTHS), replace=False)]
            false_rhos.append(rho(invented))
            false_severe += invented[3:]
    line = {"rho": float(np.mean(rhos)), "auc": auc(severe, fresh), "control_rho": float(np.mean(false_rhos)), "control_auc": auc(false_severe, fresh)}
    beats = line["rho"] >= line["control_rho"] + ABOVE and line["auc"] >= line["control_auc"] + ABOVE
    return line | {"passed": line["rho"] >= RHO and line["auc"] >= AUC and beats}


def scorer(kind: str, free: list[Report]) -> Any:
    """Report -> the largest bad-direction robust z of the kind's measures against the head's clean volumes; a null value is no finding (z 0)."""
    norms = {}
    for name in KINDS[kind].measures:
        values = np.array([r["values"][name] for r in free if r["values"][name] is not None], dtype=float)
        middle = float(np.median(values)) if values.size else 0.0
        spread = 1.4826 * float(np.median(np.abs(values - middle))) if values.size else 1.0
        norms[name] = middle, max(spread, 1e-3 * abs(middle), 1e-6)

    def z(report: Report) -> float:
        found = [(BAD[METRICS[n].direction], report["values"][n], *norms[n]) for n in norms]
        return max((sign * (value - middle) / spread for sign, value, middle, spread in found if value is not None), default=0.0)

    return z


def leave_one_out(kind: str, free: list[Report]) -> list[float]:
    """Each clean volume against the others."""
    return [scorer(kind, free[:n] + free[n + 1 :])(report) for n, report in enumerate(free)]


def rho(row: list[float]) -> float:
    """Spearman with severity; ties share their rank, and a row without any variation says 0."""
    found = stats.spearmanr(range(len(row)), row).statistic if len(set(row)) > 1 else 0.0
    return float(found)


def auc(bad: list[float], good: list[float]) -> float:
    """Share of pairs in which the bad one scores higher (ties count half)."""
    b, g = np.array(bad)[:, None], np.array(good)[None]
    return float(((b > g) + 0.5 * (b == g)).mean())


if __name__ == "__main__":
    print(graded(sys.argv[1]))
    for kind_, line_ in json.loads((OUT / "graded.json").read_text()).items():
        print(f"{kind_:24} {line_}")
