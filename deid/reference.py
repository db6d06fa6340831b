"""The reference page of a profile: what happens to every attribute and why, made from the profile itself so that it cannot drift from it."""

from __future__ import annotations

from deid.errors import REFUSALS
from deid.profile import SENTENCES, Profile
from deid.vendor import table
from deid.verify import RULES

INTRODUCTION = """# De-identification

Made from `deid/profiles/{name}.toml` by `python -m deid explain --page`; a test holds that it is current. Profile {name}, version {version}. Tables:
{editions}.

A new file is written. An attribute that is not listed here is not in it, at any depth; nor are private elements outside the list at the end, group
lengths, curves, overlays, trailing padding, the preamble, what follows the data set, and whatever group 0002 held. Of an attribute that stands twice the
first is read. Uncompressed files come out as Explicit VR Little Endian, compressed ones keep their syntax. All text is written as UTF-8.

**Codes** in (0012,0064): {codes}; 113101, with (0028,0301) NO, for images whose pixels were looked at (Enhanced MR knows no other value, and says NO
without the code until then). 113108 is not claimed, since only some patient characteristics are kept; (0012,0063) names them. (0028,0302) is YES unless the
body part has no face. What others wrote in (0012,0063) and (0012,0064) is not believed; it stays beside ours, cleaned. (0012,0063) ends with a seal, an HMAC
over the whole data set under the pseudonym key, by which our own output is known again and comes out byte-identical.

**X, Z, D** of Table E.1-1: an attribute of Type 3 is removed, of Type 2 emptied, of Type 1 replaced by a value that says nothing, as far as its row allows;
where it does not, the next stronger statement that keeps the object valid. Every departure from the table has its reason below.

**Dates** go back by one secret number of days per participant (1 to 3,650). Times of a study are moved so that its first acquisition begins at 12:00:00.
Where a study's start is not known, its StudyTime is brought to 12:00:00. What does not parse is removed and counted; of several values, its neighbours stay.

**Age** above 89 is 090Y, in every visit of the person; absent or malformed, it is computed before the birth date goes.

**Numbers** stay if they have a number's form, and are none of the file's own identifiers nor a day written as a number. **Codes** stay if their scheme is
public and the value is one of the scheme's; a meaning that does not survive is replaced by the standard's.

**Pixels**: bytes behind the last frame go; bits of a pixel cell outside BitsStored (overlays used to be drawn there) are cleared, or carry the sign. In
compressed pictures comments, application segments, boxes and bytes behind the end go; the picture is not decoded and stays bit for bit. A lookup table that
holds text goes.
"""


def page(profile: Profile) -> str:
    """The page as Markdown."""
    editions = "; ".join(profile.editions.values())
    codes = ", ".join(f"{code} {meaning}" for code, meaning in profile.claimed)
    out = [INTRODUCTION.format(name=profile.name, version=profile.version, editions=editions, codes=codes)]
    for action, sentence in SENTENCES.items():
        tags = sorted(tag for tag, rule in profile.rules.items() if rule.action == action)
        if not tags:
            continue
        out.append(f"## {action}\n\nThe attribute {sentence}.\n")
        reasons: dict[str, list[str]] = {}
        for tag in tags:
            rule = profile.rules[tag]
            basis = {"rule": "", "table": "Table E.1-1: ", "module": "Not in Table E.1-1: "}[rule.source]
            reasons.setdefault(basis + rule.why, []).append(f"{rule.keyword} ({tag >> 16:04X},{tag & 0xFFFF:04X})")
        out += [f"- {reason} {', '.join(names)}.\n" for reason, names in reasons.items()]
    out.append("## Private elements that are kept\n\n| creator | group | elements |\n|---|---|---|")
    for (creator, group), kinds in sorted(table().items()):
        out.append(f"| {creator} | {group:04X} | {', '.join(f'{low:02X} {kind}' for low, kind in sorted(kinds.items()))} |")
    out.append("\n## The last gate\n\nEvery product is searched for every value that was taken out of any file of the participant; a hit withholds it.\n")
    out += [f"{n}. {rule}" for n, rule in enumerate(RULES, 1)]
    out.append("\n## Refusals\n\n| code | reason | what to do |\n|---|---|---|")
    out += [f"| `{code}` | {reason} | {advice} |" for code, (reason, advice) in REFUSALS.items()]
    return "\n".join(out) + "\n"
