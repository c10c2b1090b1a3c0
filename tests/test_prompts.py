"""Prompts, and the conditions they speak of: complete, silent about their own names, found however they are spelled."""

import ast
import csv
import os
import random
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepfit_mini.config import InputError
from keepfit_mini.prompts import (
    TEST_TEMPLATE,
    class_prompts,
    conditions,
    descriptions,
    find,
    is_excluded,
    mask_names,
    training_prompt,
)

NAMES = [(canonical, name) for canonical, c in conditions().items() for name in (canonical, *c["synonyms"])]
DRAWN = [
    "normal", "diabetic retinopathy", "age-related macular degeneration", "glaucoma", "hypertensive retinopathy",
    "retinal vein occlusion", "epiretinal membrane", "macular hole", "retinitis pigmentosa", "laser scars",
    "optic disc oedema", "optic atrophy", "pathologic myopia", "cataract", "no glaucoma",
]  # fmt: skip
BOTH = ("cataract", ("pathologic myopia",))


# --- conditions.json


def test_at_least_75_conditions_with_3_to_6_descriptions_and_a_source():
    assert len(conditions()) >= 75
    for name, c in conditions().items():
        assert 3 <= len(c["descriptions"]) == len(set(c["descriptions"])) <= 6, name
        assert all(d == d.strip() and len(d.split()) >= 3 for d in c["descriptions"]), name
        assert c["synonyms"] and c["source"].strip(), name
        assert set(c) <= {"synonyms", "stems", "modifiers", "descriptions", "source"}, name
        assert not set(name) & set(",;{}"), f"{name}: --classes splits at commas, labels at semicolons"


def test_no_name_belongs_to_two_conditions():
    owners = {}
    for canonical, name in NAMES:
        owners.setdefault(re.sub(r"[-_\s]+", "", name).casefold(), set()).add(canonical)
    assert {name: who for name, who in owners.items() if len(who) > 1} == {}


@pytest.mark.parametrize("name", conditions())
def test_descriptions_do_not_name_their_condition(name):
    c = conditions()[name]
    for description in c["descriptions"]:
        plain = f" {re.sub(r'[^a-z0-9]+', ' ', description.lower())} "
        for n in (name, *c["synonyms"]):
            assert f" {re.sub(r'[^a-z0-9]+', ' ', n.lower()).strip()} " not in plain
        for stem in c.get("stems", []):
            assert stem not in description.lower()
        assert mask_names(description, name) == description  # nor a plural, nor another form


def test_no_description_of_any_condition_leaks_the_unseen_words():
    every = [d for c in conditions().values() for d in c["descriptions"]]
    assert [d for d in every if re.search("cataract|myop", d, re.IGNORECASE)] == []


@pytest.mark.parametrize("category", DRAWN)
def test_every_drawn_category_is_described(category):
    assert find(category) is not None and len(descriptions(category)) >= 3


def test_the_three_classes_of_odir200x3_share_no_description():
    groups = [set(descriptions(c)) for c in ("normal", "cataract", "pathologic myopia")]
    assert all(len(g) >= 5 for g in groups) and len(set.union(*groups)) == sum(map(len, groups))


# --- find, descriptions


@given(st.sampled_from(NAMES), st.randoms(use_true_random=False))
def test_find_ignores_case_hyphens_underscores_and_spaces(pair, rng):
    canonical, name = pair

    def respell(letter):
        gap = rng.choice("- _") * rng.randint(1, 3)
        return gap if letter in "- _" else rng.choice((letter.lower(), letter.upper()))

    assert find(f" {''.join(map(respell, name))}\t") == canonical


@pytest.mark.parametrize("word", ["", "kidney stone", "0c", "cataract surgery planned", "not normal"])
def test_find_gives_none_for_what_it_does_not_know(word):
    assert find(word) is None


@pytest.mark.parametrize(
    "spelling, canonical",
    [
        ("Pathological Myopia", "pathologic myopia"),
        ("high_myopia", "pathologic myopia"),
        ("AMD", "age-related macular degeneration"),
        ("age related macular degeneration", "age-related macular degeneration"),
        ("moderate non proliferative retinopathy", "moderate nonproliferative diabetic retinopathy"),
        ("laser spot", "laser scars"),
        ("papilledema", "optic disc oedema"),
        ("soft exudates", "cotton wool spots"),
        ("red small dots", "microaneurysms"),
    ],
)
def test_synonyms_of_the_data_lead_to_their_condition(spelling, canonical):
    assert find(spelling) == canonical


def test_an_unknown_category_is_refused_with_its_name_and_the_mend():
    with pytest.raises(InputError, match='(?s)"?kidney stone.*--prompts names.*conditions.json'):
        descriptions("kidney stone")


def test_a_caller_cannot_change_the_shared_descriptions():
    descriptions("cataract").clear()
    assert len(descriptions("cataract")) >= 5


# --- prompts


def test_the_training_prompt_is_drawn_uniformly_from_the_name_and_its_descriptions():
    rng, draws = random.Random(0), 6000
    seen = Counter(training_prompt("cataract", rng=rng) for _ in range(draws))
    choices = ["cataract", *descriptions("cataract")]
    assert set(seen) == {f"A fundus photograph of {c}" for c in choices}
    expected = draws / len(choices)
    assert sum((n - expected) ** 2 / expected for n in seen.values()) < 22.5  # chi-square, 6 degrees, p = 0.001


def test_the_same_seed_draws_the_same_prompts_and_another_seed_others():
    def draw(seed):
        rng = random.Random(seed)
        return [training_prompt("glaucoma", "noisy", rng) for _ in range(20)]

    assert draw(1) == draw(1) != draw(2)


def test_the_attribute_stands_in_the_prompt_and_an_unknown_category_by_its_name():
    assert training_prompt("kidney_stone") == "A fundus photograph of kidney stone"
    assert training_prompt("kidney stone", "blurred") == "A blurred fundus photograph of kidney stone"


def test_class_prompts_of_the_three_modes():
    named = [TEST_TEMPLATE.format(category="pathological myopia")]
    described = [TEST_TEMPLATE.format(category=d) for d in descriptions("pathologic myopia")]
    assert class_prompts("pathological myopia") == class_prompts("pathological myopia", "names") == named
    assert class_prompts("pathological myopia", "descriptions") == described
    assert class_prompts("pathological myopia", "both") == described + named


def test_class_prompts_refuse_an_unknown_mode_and_a_category_they_cannot_describe():
    with pytest.raises(InputError, match="'all'.*names, descriptions or both"):
        class_prompts("normal", "all")
    assert class_prompts("kidney stone", "names") == ["A fundus photograph of kidney stone"]
    for mode in ("descriptions", "both"):
        with pytest.raises(InputError, match="kidney stone"):
            class_prompts("kidney stone", mode)


@pytest.mark.parametrize(
    "categories, words, excluded",
    [
        (["normal", "Pathologic Myopia"], ["myopia"], True),
        (["myopic_maculopathy"], ["Myop"], True),
        (["macular_hole"], ["macular hole"], True),
        (["macular-hole"], ["Macular_Hole"], True),
        (["macular edema", "hole"], ["macular hole"], False),  # a phrase is not spread over two categories
        (["glaucoma"], ["myopia", "cataract"], False),
        (["cataract"], [], False),
        (["cataract"], ["", " - "], False),
        ([], ["cataract"], False),
    ],
)
def test_is_excluded(categories, words, excluded):
    assert is_excluded(categories, words) is excluded


# --- mask_names


@pytest.mark.parametrize(
    "caption, masked",
    [
        ("Photograph of a highly myopic eye with a pale crescent.", "Photograph of an eye with a pale crescent."),
        ("An extremely myopic retina, thin and striped.", "A retina, thin and striped."),
        ("Pathological myopia. A tilted disc is seen.", "A tilted disc is seen."),
        ("High myopia with thin choroid", "Thin choroid"),
        ("Staphyloma in degenerative myopia, left eye.", "Staphyloma, left eye."),
        ("She has been myopic since school.", "She has been affected since school."),
        ("White patches in a highly myopiceye.", "White patches in an eye."),
        ("Bleeding due to hypermyopia (arrow)", "Bleeding (arrow)"),
        ("The disc is blurred because of dense cataracts.", "The disc is blurred."),
        ("The cataract makes the view hazy.", "The change makes the view hazy."),
        ("Cataracts are dense.", "The changes are dense."),
        ("Right eye after cataract surgery, clear view.", "Right eye after surgery, clear view."),
        ("A cataractous lens hides the disc.", "A lens hides the disc."),
        ("Hazy view with lens opacity and drusen.", "Hazy view with drusen."),
        ("Drusen and cataract.", "Drusen."),
        ("Fundus (cataract), right eye.", "Fundus, right eye."),
        ("A lens lens opacity opacity is seen.", "A change is seen."),
        ("A non-cataractous eye.", "An eye."),
        ("The fellow eye had cataract.", "The fellow eye had a change."),
        ("High myopia, cataract: a pale disc.", "A pale disc."),
        ("A hole in the left eye, bilateral cataract.", "A hole in the left eye."),
        ("Cataract.", ""),
    ],
)
def test_mask_names_leaves_a_sentence_without_the_name(caption, masked):
    assert mask_names(caption, *BOTH) == masked


def test_mask_names_removes_only_what_it_is_asked_to():
    caption = "Drusen beside a macular hole in a myopic eye."
    assert mask_names(caption, "pathologic myopia") == "Drusen beside a macular hole in an eye."
    assert "hole" not in mask_names(caption, "macular hole") and "myopic" in mask_names(caption, "macular hole")
    assert mask_names("A zebra pattern, zebras everywhere", "zebra") == "A pattern, everywhere"  # an unknown category


FORMS = ["myopia", "Myopic", "highly myopic", "HYPERMYOPIA", "myopiceyes", "cataract", "Cataracts", "cataractous"]
PLAIN = ["the", "a", "an", "disc", "with", "and", "of", "is", "due to", ".", ",", "(", ")", "-", "pale", "eye", "The"]


@given(st.lists(st.sampled_from(FORMS + PLAIN), max_size=25).map(" ".join))
def test_no_form_of_the_name_survives_and_masking_twice_changes_nothing(text):
    masked = mask_names(text, *BOTH)
    assert not re.search("cataract|myop|[\0\1]", masked, re.IGNORECASE)
    assert mask_names(masked, *BOTH) == masked


@given(st.lists(st.sampled_from([*PLAIN, "  ", " ,"]), max_size=25).map(" ".join))
def test_a_caption_that_names_nothing_comes_back_unchanged(text):
    assert mask_names(text, *BOTH) == text


# --- the real labels and captions


@pytest.fixture
def data():
    if not os.environ.get("KEEPFIT_DATA"):
        pytest.skip("KEEPFIT_DATA is unset: the folder of the real manifests")
    return Path(os.environ["KEEPFIT_DATA"])


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.real
def test_every_label_of_the_real_manifests_is_known(data):
    labels = set()
    for path in sorted(data.glob("*.csv")):
        labels |= {label for row in rows(path) for label in row.get("label", "").split(";") if label.strip()}
    for path in sorted((data / "authors_frames").glob("*.csv")):
        if not path.name.startswith("TAOP"):  # codes, not words
            labels |= {label for row in rows(path) for label in ast.literal_eval(row["categories"])}
    assert len(labels) > 3, f"{data} holds no manifest"
    assert sorted(label for label in labels if find(label) is None and "cataract severity" not in label) == []


@pytest.mark.real
def test_real_captions_lose_the_names_and_keep_most_of_their_words(data):
    path = data / "mm_retinal_cfp_captions.csv"
    if not path.is_file():
        pytest.skip(f"{path} is missing")
    captions = [row["caption"] for row in rows(path) if re.search("cataract|myop", row["caption"], re.IGNORECASE)]
    masked = [mask_names(caption, *BOTH) for caption in captions]
    assert captions and not [m for m in masked if re.search("cataract|myop", m, re.IGNORECASE)]
    assert sum(len(m.split()) for m in masked) > 0.9 * sum(len(c.split()) for c in captions)
    assert not [m for m in masked if re.search(r"\s[.,;:)]|\(\s|,\s*[,.]|  |\b(with|of|a|an|the|to)[.,]", m)]
