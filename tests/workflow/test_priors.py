"""Which priors rules choose: facts in, an ordered choice out."""

import pytest

from vna.workflow import PrefetchRule, StudyFacts, choose_priors
from vna.workflow.anatomy import regions_named, regions_told

DAY_NS = 86_400 * 10**9
NOW = 20_000 * DAY_NS


def study(uid, days_ago, modality="", body="", procedure="", station=""):
    def known(text):
        return frozenset(text.split("/")) if text else frozenset()

    return StudyFacts(
        uid, NOW - days_ago * DAY_NS, known(modality), known(body), known(procedure), known(station)
    )


PRIORS = [
    study("ct-chest-old", 4000, "CT", "CHEST", "CT CHEST"),
    study("ct-chest", 300, "CT/SR", "CHEST/ABDOMEN", "CT CHEST ABDOMEN"),
    study("cr-chest", 20, "CR", "CHEST", "CHEST PA"),
    study("mr-head", 10, "MR", "HEAD", "MR BRAIN"),
    study("ct-unknown", 5, "CT"),
    study("later", -2, "CT", "CHEST"),
]
CHEST = study("new", 0, "CT", "CHEST", "CT CHEST")


def chosen(rule, arriving=CHEST, priors=PRIORS):
    return [each.study_uid for each in choose_priors(arriving, priors, [rule], NOW)]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ["cr-chest", "ct-chest", "ct-chest-old"]),
        ({"at_most": 9}, ["ct-unknown", "cr-chest", "ct-chest", "ct-chest-old"]),
        ({"at_most": 1}, ["cr-chest"]),
        ({"prior_modalities": ("CT",)}, ["ct-unknown", "ct-chest", "ct-chest-old"]),
        ({"prior_modalities": ("same",), "at_most": 2}, ["ct-chest", "ct-chest-old"]),
        ({"newer_than_days": 365.0, "at_most": 9}, ["ct-unknown", "cr-chest", "ct-chest"]),
        ({"prior_body_parts": ("BRAIN",), "at_most": 1}, ["mr-head"]),
        ({"prior_body_parts": ("same", "HEAD"), "at_most": 2}, ["mr-head", "cr-chest"]),
        ({"prior_body_parts": (), "at_most": 2}, ["ct-unknown", "mr-head"]),
        ({"prior_procedure": "same", "at_most": 1}, ["ct-chest-old"]),
        ({"prior_procedure": "*abdomen", "at_most": 1}, ["ct-chest"]),
        ({"modalities": ("CT", "MR"), "at_most": 1}, ["cr-chest"]),
        ({"modalities": ("MR",)}, []),
        ({"body_parts": ("THORAX",), "at_most": 1}, ["cr-chest"]),
        ({"body_parts": ("HEAD",)}, []),
        ({"procedure": "ct *", "at_most": 1}, ["cr-chest"]),
        ({"procedure": "MR*"}, []),
    ],
    ids=str,
)
def test_a_rule_chooses(settings, expected):
    assert chosen(PrefetchRule("rule", **settings)) == expected


def test_what_is_not_known_of_the_arriving_study_excludes_nothing():
    rule = PrefetchRule("rule", modalities=("CT",), body_parts=("CHEST",), stations=("CT1",))
    unknown = study("new", 0)
    assert chosen(rule, unknown) == ["ct-unknown", "mr-head", "cr-chest"]
    assert chosen(rule, study("new", 0, station="CT2")) == []


def test_known_matches_come_before_possible_ones_and_the_newest_first():
    rule = PrefetchRule("rule", prior_modalities=("CT",), at_most=2)
    assert chosen(rule) == ["ct-chest", "ct-chest-old"]


def test_the_first_of_several_rules_gives_the_reason_and_each_is_sent_to():
    first = PrefetchRule("first", prior_modalities=("CR",), at_most=1, send_to="WS1")
    second = PrefetchRule("second", at_most=2, send_to="WS2")
    third = PrefetchRule("third", at_most=1)
    choices = choose_priors(CHEST, PRIORS, [first, second, third], NOW)
    assert [(each.study_uid, each.rule, each.send_to) for each in choices] == [
        ("cr-chest", "first", ("WS1", "WS2")),
        ("ct-chest", "second", ("WS2",)),
    ]
    assert choices[0].reason == "modality CR, body part CHEST"
    (possible,) = choose_priors(CHEST, PRIORS[4:5], [second], NOW)
    assert possible.reason == "body part perhaps"


def test_a_study_of_the_same_day_is_a_prior_itself_never():
    morning = study("morning", 0, "CR", "CHEST")
    assert chosen(PrefetchRule("rule"), CHEST, [morning, CHEST]) == ["morning"]


@pytest.mark.parametrize(
    ("terms", "regions"),
    [
        (["BRAIN"], {"HEAD"}),
        (["CHEST_ABDOMEN"], {"CHEST", "ABDOMEN"}),
        (["ChestAbdPelvis"], {"CHEST", "ABDOMEN", "PELVIS"}),
        (["TAIL"], {"TAIL"}),
        (["", " "], set()),
    ],
)
def test_terms_are_regions(terms, regions):
    assert regions_named(terms) == regions


@pytest.mark.parametrize(
    ("text", "regions"),
    [
        ("CT Thorax/Abdomen w. contrast", {"CHEST", "ABDOMEN"}),
        ("MR C-Spine", {"CSPINE"}),
        ("lumbar spine AP", {"LSPINE"}),
        (
            "whole body PET",
            {"HEAD", "NECK", "CHEST", "ABDOMEN", "PELVIS", "CSPINE", "TSPINE", "LSPINE"},
        ),
        ("routine follow-up", set()),
        ("", set()),
    ],
)
def test_words_tell_regions(text, regions):
    assert regions_told([text]) == regions
