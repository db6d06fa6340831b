"""Who is who: never two people in one, never one in two without need, and the same answer every year."""

from __future__ import annotations

import dataclasses
import datetime

import pytest

from deid import errors, identity, names, people, pseudonyms, tasks
from deid.declared import Declared, Row
from deid.identity import Identity, Start

CODES = pseudonyms.CodeKey(b"c" * 32)
DAY = datetime.date


def file(pid="4711", birth="1962-03-04", sex="F", name="SMITH^ANNA", study="1.2.1", issuer="", **more) -> Identity:
    return Identity(
        issuer, pid, DAY.fromisoformat(birth) if birth else None, sex, identity.fold_name(name), pseudonyms.is_placeholder(pid), study, study + ".1",
        study + ".1.1", names=(name,) if name else (), **more,
    )  # fmt: skip


def who(*files: Identity, declared=(), folders=None, **more) -> tuple[list[str | None], dict[int, str]]:
    """The code of each file (None where it waits), and why files wait."""
    rows = Declared([line(*row) for row in declared], folders)
    out = people.sort_out(dict(enumerate(files, 1)), CODES, "here", rows, **more)
    codes = {n: person.code for person in out.people for n in person.files}
    return [codes.get(n) for n in range(1, len(files) + 1)], out.waiting


def line(person, **asked):
    return Row(person, asked)


def test_one_identifier_is_one_person_whose_code_is_that_of_the_identifier():
    codes, waiting = who(file(), file(study="1.2.2", name="Smith^Anna^^"), file(pid=" 4711 ", study="1.2.3"))
    assert set(codes) == {CODES.code("here", "", "4711")} and not waiting


def test_one_study_has_one_issuer_where_birth_date_and_full_name_are_the_same():
    codes, waiting = who(file(), file(), file(issuer="other"), file(study="1.2.3"))
    assert set(codes) == {CODES.code("here", "", "4711")} and not waiting
    for unlike in ({"birth": "1963-03-04"}, {"name": "JONES^PETRA"}):
        _, waiting = who(file(issuer="one"), file(issuer="other", **unlike))
        assert waiting
    codes, _ = who(file(issuer="one"), file(study="1.2.2", issuer="other"))
    assert codes[0] != codes[1]


def test_a_full_name_vouches_for_a_study_without_a_birth_date_and_a_stand_in_does_not():
    codes, waiting = who(file(), file(study="1.2.2", birth=""))
    assert codes[0] == codes[1] is not None and not waiting
    for stand_in in ("Test^Regression", "ANNA"):  # the first is the shared DEV on two scanners
        codes, waiting = who(file(name=stand_in), file(name=stand_in, study="1.2.2", birth=""))
        assert codes[0] != codes[1] and not waiting


@pytest.mark.parametrize(
    "other",
    [
        {"birth": "1963-03-04"},
        {"birth": "", "name": ""},  # what states no birth date is not known to be who states one
        {"sex": "M"},
        {"name": "JONES^PETRA"},
        {"name": "SMITH^PETRA"},
    ],
)
def test_what_contradicts_is_separate_people_or_waits(other):
    one, two = file(), file(study="1.2.2", **other)
    codes, waiting = who(one, two)
    assert None not in codes and codes[0] != codes[1] and not waiting
    assert CODES.code("here", "", "4711") not in codes, "neither is known to be the one whom the identifier alone names"
    assert all(CODES.recognises(code) for code in codes)
    codes, waiting = who(one, two, conflicts="wait")
    assert codes == [None, None] and set(waiting.values()) == {"identity_conflict"}


def test_a_separated_person_has_the_same_code_whoever_else_is_there_and_in_any_order():
    one, two, three = file(), file(study="1.2.2", birth="1963-03-04"), file(study="1.2.3", birth="1999-09-09", sex="M")
    few, many, turned = who(one, two)[0], who(one, two, three)[0], who(three, two, one)[0]
    assert few == many[:2] == turned[:0:-1] and len(set(many)) == 3
    elsewhere = people.sort_out({1: one, 2: two}, CODES, "there", Declared())
    assert {person.code for person in elsewhere.people}.isdisjoint(few)
    other_number = who(file(pid="4712"), file(pid="4712", study="1.2.2", birth="1963-03-04"))[0]
    assert set(other_number).isdisjoint(few)


@pytest.mark.parametrize("known", [{"sex": ""}, {"sex": "O"}, {"name": ""}, {"name": "***"}, {"name": "田中^花子"}])
def test_what_is_not_said_contradicts_nothing(known):
    codes, waiting = who(file(), file(study="1.2.2", **known))
    assert len(set(codes)) == 1 and not waiting


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SMITH^JOHN", "Smith^John^^"),
        ("SMITH^JOHN", "SMITH JOHN"),
        ("SMITH^JOHN", "John^Smith"),
        ("SMITH^JOHN", "SMITH, JOHN"),
        ("SMITH^JOHN", "SMITHJOHN"),
        ("SMITH^JOHN", "SMITH^JOHN^PAUL^DR"),
        ("SMITH^JOHN", "SMITH^J"),
        ("SMITH^JONATHAN", "Smith^Jon"),
        ("SMITH^ANNA", "JONES^ANNA"),
        ("SMITH^ANNA", "SMITH-JONES^ANNA"),
        ("MÜLLER^JÖRG", "MUELLER^JORG"),
        ("SMIHT^JOHN", "SMITH^JOHN"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "山田^太郎"),
        ("Jane_Doe", "DOE^JANE"),
    ],
)
def test_spellings_of_one_name_are_alike(one, other):
    assert names.alike(names.parse(one), names.parse(other)) and names.alike(names.parse(other), names.parse(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SMITH^JOHN", "SMITH^PETER"),
        ("SMITH^JOHN", "JONES^PETER"),
        ("SMITH JOHN", "SMITH PETER"),
        ("Quibblewick^Zephyrina", "Housemartin^Gregor"),
        ("LI^WEI", "LI^NA"),
        ("山田^太郎", "田中^花子"),
        ("Yamada^Tarou=山田^太郎", "Tanaka^Hanako=田中^花子"),
    ],
)
def test_names_of_two_people_are_not(one, other):
    assert not names.alike(names.parse(one), names.parse(other)) and not names.alike(names.parse(other), names.parse(one))


def test_a_scan_that_names_nobody_is_a_person_of_its_own_or_waits():
    first, again, second = file(pid="***", study="1.2.1"), file(pid="***", study="1.2.1"), file(pid="***", study="1.2.2")
    codes, waiting = who(first, again, second)
    assert codes[0] == codes[1] != codes[2] and not waiting
    codes, waiting = who(first, second, file(study="1.2.3"), conflicts="wait")
    assert codes[2] and waiting == {1: "no_identity", 2: "no_identity"}


def test_a_study_has_one_person():
    bare, issued = file(), file(issuer="HOSPITAL")
    assert set(who(bare, issued)[0]) == {CODES.code("here", "HOSPITAL", "4711")}, "of whom one file says more"
    assert set(who(file(pid=""), file())[0]) == {CODES.code("here", "", "4711")}, "the capture without an identifier lies in the study of one that has it"
    codes, waiting = who(file(), file(pid="9"), file(study="1.2.2"))
    assert waiting == {1: "two_patients", 2: "two_patients"} and codes[2]
    codes, waiting = who(file(), file(birth="1999-01-01"), file(study="1.2.2"))
    assert waiting == {1: "identity_conflict", 2: "identity_conflict"} and codes[2]


def test_equal_identifiers_of_two_issuers_or_sites_never_meet():
    codes, _ = who(file(issuer="A"), file(issuer="B", study="1.2.2"))
    assert len(set(codes)) == 2 and people.sort_out({1: file()}, CODES, "elsewhere", Declared()).people[0].code not in codes


def test_several_identifiers_declared_for_one_person_yield_one_code():
    rows = [("anna", {"PatientID": "111", "IssuerOfPatientID": "a"}), ("anna", {"PatientID": "222"})]
    declared = [line(person, **asked) for person, asked in rows]
    files = [file(pid="111", issuer="A"), file(pid="222", study="1.2.2", name="Married^Anna"), file(pid="111", issuer="C", study="1.2.3")]
    out = people.sort_out(dict(enumerate(files, 1)), CODES, "here", Declared(declared))
    assert sorted(person.files for person in out.people) == [(1, 2), (3,)]
    one = next(person for person in out.people if len(person.files) == 2)
    assert one.code == CODES.declared("here", "Anna") != CODES.code("here", "", "anna") and {"111", "222"} <= one.identifiers


def test_a_declaration_by_number_alone_does_not_merge_two_birth_dates_and_one_by_birth_date_does_what_it_says():
    one, two = file(), file(study="1.2.2", birth="1999-01-01")
    out = people.sort_out({1: one, 2: two}, CODES, "here", Declared([line("x", PatientID="4711")]))
    assert len(out.people) == 2
    rows = [line("x", PatientID="4711", PatientBirthDate="1962-03-04"), line("y", PatientID="4711", PatientBirthDate="1999-01-01")]
    out = people.sort_out({1: one, 2: two}, CODES, "here", Declared(rows), "wait")
    assert {person.code for person in out.people} == {CODES.declared("here", "x"), CODES.declared("here", "y")} and not out.waiting


def test_a_masked_scan_waits_until_it_is_bound(tmp_path):
    table = tmp_path / "people.csv"
    table.write_text("person;PatientID;folder;StudyInstanceUID;PatientBirthDate\nben;***;visit2/ben;;\ncara;;;1.2.9;\ndora;***;;;1970-01-02\n")
    folders = {1: "visit2/ben/t1", 2: "visit2/benno", 3: "x", 4: "y"}
    files = {1: file(pid="***"), 2: file(pid="***", study="1.2.2"), 3: file(pid="", study="1.2.9"), 4: file(pid="***", study="1.2.4", birth="1970-01-02")}
    out = people.sort_out(files, CODES, "here", Declared.read(table, folders), "wait")
    assert out.waiting == {2: "no_identity"}
    assert {person.files[0]: person.code for person in out.people} == {n: CODES.declared("here", name) for n, name in ((1, "ben"), (3, "cara"), (4, "dora"))}


@pytest.mark.parametrize(
    "text", ["person,PatientID\n,4711\n", "person,PatientID\nx,\n", "person,Name\nx,y\n", "person,PatientID\nx,1,2\n", "", "PatientID\n4\n"]
)
def test_a_people_file_that_says_nothing_is_refused(tmp_path, text):
    table = tmp_path / "people.csv"
    table.write_text(text)
    with pytest.raises(errors.Refused) as caught:
        Declared.read(table, {})
    assert caught.value.code == "bad_people_file"


def test_our_own_codes_stand_and_a_strangers_do_not():
    code = CODES.apart(CODES.code("here", "", "4711"), "born 1962-03-04")
    codes, _ = who(file(pid=code, birth="", name=code), file(pid=code, study="1.2.2", sex="M", birth="", name=code))
    assert set(codes) == {code}, "what was decided is not judged a second time"
    foreign = pseudonyms.CodeKey(b"d" * 32).code("here", "", "4711")
    assert who(file(pid=foreign))[0] == [CODES.code("here", "", foreign)]


def test_every_file_of_a_person_knows_their_birth_dates_names_and_whether_they_were_ever_above_89():
    young = file(birth="1930-05-05", study_date=DAY(2019, 5, 4), others=frozenset({"MAIDEN^"}))
    old = file(birth="1930-05-05", study="1.2.2", name="Married^Anna", study_date=DAY(2020, 6, 1))
    (person,) = people.sort_out({1: young, 2: old}, CODES, "here", Declared()).people
    assert person.over_89 and person.births == {DAY(1930, 5, 5)} and {"4711", "SMITH^ANNA", "Married^Anna", "MAIDEN^"} <= person.identifiers
    (person,) = people.sort_out({1: young}, CODES, "here", Declared()).people
    assert not person.over_89


def test_an_identity_crosses_to_the_parent_whole(mr, saved):
    data = mr()
    data.OtherPatientIDs, data.PatientBirthName = "OTHER-9912", "Maiden^Zephyrina"
    one = identity.identify(saved(data))
    assert tasks.unpack(tasks.pack(one)) == one and {"OTHER-9912", "Maiden^Zephyrina", "ACC7788991"} <= one.others
    other = dataclasses.replace(one, start=Start(None, 5, acquired=False), birth_date=None)
    assert tasks.unpack(tasks.pack(other)) == other != one


def test_the_shared_scans_are_who_they_are(mri):
    found = {}
    folders = {path.parent for path in (mri / "dicom").rglob("*") if path.is_file()}
    for path in [path for folder in sorted(folders) for path in sorted(p for p in folder.iterdir() if p.is_file())[-2:]]:
        try:
            found[str(path.relative_to(mri))] = identity.identify(path)
        except errors.Refused:
            continue
    numbers = dict(enumerate(found, 1))
    out = people.sort_out({n: found[name] for n, name in numbers.items()}, CODES, "here", Declared())
    assert not out.waiting and len({person.code for person in out.people}) == len(out.people)
    cases = {"crlab": 0, "DEV": 0, "***": 0}
    for person in out.people:
        ids = {found[numbers[n]].patient_id for n in person.files}
        assert len(ids) == 1 and len(person.births) <= 1
        for name in cases:
            cases[name] += name in ids
    assert cases == {"crlab": 3, "DEV": 2, "***": 1}
