"""The table consent x request: what each consent must answer to each request, written down by hand, not computed by the rule it is held against.

First what DUO's hierarchy says of permission against purpose (25 cells, diseases apart). Then conditions, each as what it adds to a consent, what to a
request, and its answer alone. A cell of the whole table is a hierarchy cell with one condition or two: deny beats ask beats permit.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from registry.rules import ConsentFacts, Disease, Purpose, decide

TODAY = date(2026, 6, 1)
MS, EPILEPSY, BRAIN, HEART = "MONDO:0000001", "MONDO:0000002", "MONDO:0000003", "MONDO:0000004"  # ids of the table's own: MS and EPILEPSY lie under BRAIN
ABOVE = {MS: frozenset({BRAIN}), EPILEPSY: frozenset({BRAIN})}
P, A, D = "permit", "ask", "deny"

# rows: the consent's permission; columns: GRU, HMB, DS (MS), METHODS (no disease), POA
HIERARCHY = {
    "NRES": (P, P, P, P, P),
    "GRU": (P, P, P, P, P),
    "HMB": (D, P, P, P, D),
    "DS": (D, D, P, D, D),
    "POA": (D, D, D, D, P),
}
# consent's diseases, request's diseases, answer
DISEASES = [
    ((MS,), (MS,), P), ((MS,), (EPILEPSY,), D), ((MS,), (MS, EPILEPSY), D), ((MS,), (BRAIN,), D), ((BRAIN,), (MS,), P), ((BRAIN,), (MS, EPILEPSY), P),
    ((BRAIN,), (BRAIN,), P), ((BRAIN,), (MS, HEART), D), ((MS, HEART), (HEART, MS), P), ((HEART,), (BRAIN,), D),
]  # fmt: skip


@dataclass(frozen=True)
class Condition:
    """What is added to a consent and to a request, and what that alone answers. Two of one family speak of the same thing, and do not stand together."""

    name: str
    verdict: str
    consent: dict[str, Any] = field(default_factory=dict)
    request: dict[str, Any] = field(default_factory=dict)

    @property
    def family(self) -> str:
        first = self.name.split(":")[0].split(" ")[0]
        return {"commercial": "profit", "NPU": "profit", "NCU": "profit", "NPUNCU": "profit", "GS": "place", "transfer": "place"}.get(first, first)


def box(name: str) -> list[Condition]:
    """What is covered only where it was ticked."""
    return [
        Condition(f"{name}: asked, ticked", P, {name: True}, {name: True}),
        Condition(f"{name}: asked, not ticked", D, {}, {name: True}),
        Condition(f"{name}: ticked, not asked", P, {name: True}),
    ]


def promise(code: str) -> list[Condition]:
    return [
        Condition(f"{code}: promised", P, {"modifiers": {code}}, {"promises": {code}}),
        Condition(f"{code}: not promised", D, {"modifiers": {code}}),
        Condition(f"{code}: something else promised", D, {"modifiers": {code}}, {"promises": {"ANOTHER"}}),
    ]


def going(transfer: str, *cells: tuple[str, str]) -> list[Condition]:
    """A consent's transfer against the countries of a team; `+` before them: standard contractual clauses are promised."""
    made = []
    for to, answer in cells:
        request = {"countries": set(to.strip("+").split()), "promises": {"SCC"} if "+" in to else set()}
        made.append(Condition(f"transfer {transfer}: {to}", answer, {"transfer": transfer}, request))
    return made


CONDITIONS = [
    Condition("no condition", P),
    *(one for name in ("ai_training", "public_crowd", "genetic_linkage", "recontact", "commercial") for one in box(name)),
    Condition("face: asked, agreed to", D, {"face_intact": True}, {"face_intact": True}),
    Condition("face: asked", D, {}, {"face_intact": True}),
    Condition("face: agreed to, not asked", P, {"face_intact": True}),
    *(one for code in ("IRB", "COL", "PUB", "RTN") for one in promise(code)),
    *(Condition(f"{code}: a human", A, {"modifiers": {code}}) for code in ("RS", "US", "PS", "IS")),
    Condition("NPU: not for profit", P, {"modifiers": {"NPU"}}),
    Condition("NPU: for profit", D, {"modifiers": {"NPU"}}, {"non_profit": False}),
    Condition("NCU: no commercial use", P, {"modifiers": {"NCU"}}),
    Condition("NCU: commercial use, ticked", D, {"modifiers": {"NCU"}, "commercial": True}, {"commercial": True}),
    Condition("NPUNCU: not for profit", P, {"modifiers": {"NPUNCU"}}),
    Condition("NPUNCU: for profit", D, {"modifiers": {"NPUNCU"}}, {"non_profit": False}),
    Condition("NPUNCU: commercial", D, {"modifiers": {"NPUNCU"}, "commercial": True}, {"commercial": True}),
    Condition("GSO: genetic", P, {"modifiers": {"GSO"}}, {"genetic": True}),
    Condition("GSO: not genetic", D, {"modifiers": {"GSO"}}),
    Condition("CC: covered", P, {"modifiers": {"CC"}}, {"clinical_care": True}),
    Condition("CC: not covered", D, {}, {"clinical_care": True}),
    Condition("NMDS: no methods asked", P, {"modifiers": {"NMDS"}}),
    Condition("NMDS: methods asked", D, {"modifiers": {"NMDS"}}, {"methods": True}),
    Condition("GS: all there", P, {"modifiers": {"GS"}, "countries": {"DK", "SE"}}, {"countries": {"DK", "SE"}}),
    Condition("GS: one elsewhere", D, {"modifiers": {"GS"}, "countries": {"DK"}}, {"countries": {"DK", "SE"}}),
    Condition("GS: without a country", D, {"modifiers": {"GS"}}),
    *going("none", ("DK", P), ("DK SE NO", P), ("DK CH", D), ("US", D), ("+DK BR", D)),
    *going("adequate", ("DK", P), ("DK CH GB", P), ("DK US", A), ("DK BR", D), ("+DK BR", D), ("CH US BR", D)),
    *going("safeguards", ("DK", P), ("CH", P), ("DK US", A), ("DK BR", D), ("+DK BR", P), ("+US BR", P)),
    *going("any", ("DK", P), ("US", P), ("DK CH US BR", P)),
    Condition("TS: short enough", P, {"modifiers": {"TS"}, "max_months": 12}, {"months": 12}),
    Condition("TS: too long", D, {"modifiers": {"TS"}, "max_months": 12}, {"months": 13}),
    Condition("TS: without a limit", A, {"modifiers": {"TS"}}),
    Condition("MOR: with a date", P, {"modifiers": {"MOR"}, "publish_after": date(2030, 1, 1)}),
    Condition("MOR: without a date", A, {"modifiers": {"MOR"}}),
    Condition("end: last day is today", P, {"valid_until": TODAY}),
    Condition("end: last day was yesterday", D, {"valid_until": date(2026, 5, 31)}),
    Condition("end: of age tomorrow", P, {"reconsent_due": date(2026, 6, 2)}),
    Condition("end: of age today", D, {"reconsent_due": TODAY}),
    Condition("basis: waiver by a board", P, {"legal_basis": "irb_waiver"}),
    Condition("basis: public interest", P, {"legal_basis": "6.1.e"}),
    Condition("basis: one nobody knows", D, {"legal_basis": "because"}),
    Condition("XYZ: a modifier nobody knows", D, {"modifiers": {"XYZ"}}),
]


@dataclass(frozen=True)
class Cell:
    """One cell: what it is about, the consent, the request, and what must be answered."""

    name: str
    consent: ConsentFacts
    request: Purpose
    verdict: str


def diseases(ids: tuple[str, ...]) -> tuple[Disease, ...]:
    return tuple(Disease(one, ABOVE.get(one, frozenset())) for one in ids)


def worst(*verdicts: str) -> str:
    return D if D in verdicts else A if A in verdicts else P


def joined(*parts: dict[str, Any]) -> dict[str, Any]:
    """Several additions together."""
    whole: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            whole[name] = frozenset(value) | whole.get(name, frozenset()) if isinstance(value, set) else value
    return whole


def bases() -> Iterator[Cell]:
    """The hierarchy alone, diseases too."""
    for permission, answers in HIERARCHY.items():
        named = frozenset({MS}) if permission == "DS" else frozenset[str]()
        for code, answer in zip(("GRU", "HMB", "DS", "METHODS", "POA"), answers, strict=True):
            asked = diseases((MS,)) if code == "DS" else ()
            request = Purpose(code, asked, countries=frozenset({"DK"}))
            yield Cell(f"{permission} x {code}", ConsentFacts(permission, diseases=named), request, answer)
    for has, wants, answer in DISEASES:
        for code in ("DS", "METHODS"):
            request = Purpose(code, diseases(wants), countries=frozenset({"DK"}))
            yield Cell(f"DS {has} x {code} {wants}", ConsentFacts("DS", diseases=frozenset(has)), request, answer)


def cells(most: int = 2) -> Iterator[Cell]:
    """The whole table: every hierarchy cell with one condition, and with every two that speak of different things (`most` 2)."""
    for base in bases():
        for chosen in itertools.chain(*(itertools.combinations(CONDITIONS, n) for n in range(1, most + 1))):
            families = {one.family for one in chosen}
            if len(families) < len(chosen) or ("NMDS" in families and base.request.code == "METHODS"):
                continue
            consent, request = joined(*(one.consent for one in chosen)), joined(*(one.request for one in chosen))
            name = " + ".join([base.name, *(one.name for one in chosen)])
            verdict = worst(base.verdict, *(one.verdict for one in chosen))
            yield Cell(name, replace(base.consent, **consent), replace(base.request, **request), verdict)


def wrong(most: int = 2) -> tuple[int, int, list[str]]:
    """How many cells were asked, how many of them permit, and each that is answered otherwise than the table says."""
    asked = permits = 0
    found = []
    for cell in cells(most):
        asked, permits = asked + 1, permits + (cell.verdict == P)
        if (said := decide(cell.consent, cell.request, TODAY).verdict.value) != cell.verdict:
            found.append(f"{cell.name}: {said}, not {cell.verdict}")
    return asked, permits, found
