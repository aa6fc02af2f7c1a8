import pytest
from hypothesis import given
from hypothesis import strategies as st

from vna.dicom.names import fold, fold_group, groups, words


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("DOE^JANE", "doe^jane"),
        ("Müller^Jörg", "MULLER^JORG"),
        ("Müller", "Mu\u0308ller"),
        ("Doe^Jane^^^", "Doe^Jane"),
        (" Doe ^ Jane ", "Doe^Jane"),
        ("Van  der   Berg^A", "van der berg^a"),
        ("Straße", "STRASSE"),
        ("İnan", "inan"),
        ("Ångström^Å", "angstrom^a"),
        ("ΆΓΓΕΛΟΣ", "αγγελοσ"),
    ],
)
def test_the_same_name(one, other):
    assert fold_group(one) == fold_group(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("か", "が"),
        ("ハ", "パ"),
        ("Doe^Jane", "Doe^^Jane"),
        ("Doe", "Do"),
        ("김", "긴"),
        ("й", "к"),
    ],
)
def test_other_names(one, other):
    assert fold_group(one) != fold_group(other)


def test_a_syllable_stays_one_character():
    assert fold_group("김^희중") == "김^희중"


def test_groups():
    assert groups("Yamada^Tarou=山田^太郎=やまだ^たろう") == [
        "yamada^tarou",
        "山田^太郎",
        "やまだ^たろう",
    ]
    assert groups("Doe^Jane") == ["doe^jane"]
    assert groups("=山田") == ["", "山田"]
    assert groups("") == [""]
    assert len(groups("=" * 9)) == 3


def test_words():
    assert words("o'brien-smith, jr.") == ["o'brien", "smith", "jr"]


@given(st.text())
def test_folding_again_changes_nothing(text):
    assert fold(fold(text)) == fold(text)
    assert fold_group(fold_group(text)) == fold_group(text)


@given(st.text(st.characters(max_codepoint=127)))
def test_case_never_matters(text):
    assert fold_group(text.upper()) == fold_group(text.lower())
