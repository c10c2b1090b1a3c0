"""The drawn data: same seed same pixels, findings that show, nothing else that tells a category, captions, sets."""

import time

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from keepfit_mini import captions, drawn_sets, phantom
from keepfit_mini.config import InputError

EVERY_FINDING = [(m, name) for m in phantom.FINDINGS for name in phantom.FINDINGS[m]]
EVERY_CATEGORY = [(m, c) for m in phantom.CATEGORIES for c in phantom.CATEGORIES[m]]


def pixels(drawing):
    return np.asarray(drawing.image, np.float32)


@pytest.mark.parametrize("modality", phantom.CATEGORIES)
def test_same_arguments_same_pixels(modality):
    category = list(phantom.CATEGORIES[modality])[1]
    one, two, other = (phantom.draw(modality, category, seed=s, size=64) for s in (5, 5, 6))
    assert one.findings == two.findings and np.array_equal(pixels(one), pixels(two))
    assert not np.array_equal(pixels(one), pixels(other))
    assert one.image.size == (64, 64) and one.image.mode == "RGB"


@pytest.mark.parametrize(("modality", "name"), EVERY_FINDING)
def test_a_finding_changes_the_picture_and_more_so_when_severe(modality, name):
    change = []
    for severity in phantom.SEVERITIES:
        per_seed = []
        for seed in range(6):
            without = pixels(phantom.draw(modality, "normal", camera="amber", seed=seed, size=64))
            found = pixels(phantom.draw_finding(modality, name, severity, seed, 64, camera="amber"))
            per_seed.append(np.abs(found - without).mean())
        assert min(per_seed) > 0, f"{name} ({severity}) leaves no trace with some seed"
        change.append(np.mean(per_seed))
    assert change[0] < change[1] < change[2], f"{name}: {change}"


@pytest.mark.parametrize(("modality", "category"), EVERY_CATEGORY)
def test_findings_are_those_of_the_recipe(modality, category):
    recipe = phantom.CATEGORIES[modality][category]
    for seed in range(6):
        drawing = phantom.draw(modality, category, seed=seed, size=16)
        assert {f.name for f in drawing.findings} <= set(recipe)
        assert bool(drawing.findings) == bool(recipe)
        assert all(f.severity in phantom.SEVERITIES and f.place in captions.PLACES for f in drawing.findings)


def test_one_hundred_pictures_a_second_a_core_at_96_pixels():
    phantom.draw(size=96)  # textures are made once
    best = np.inf
    for _ in range(3):  # the best of three, in processor time: other processes must not fail this
        start = time.process_time()
        for seed, category in enumerate(phantom.CATEGORIES["CFP"]):
            phantom.draw("CFP", category, seed=seed, size=96)
        best = min(best, (time.process_time() - start) / len(phantom.CATEGORIES["CFP"]))
    assert best < 1 / 60, f"{1 / best:.0f} pictures a second"  # 100 and more on the machine it was written on


def test_a_seed_is_one_eye_and_one_camera_whatever_the_category():
    shared = [phantom.draw("CFP", c, seed=3, size=64) for c in phantom.CATEGORIES["CFP"]]
    assert len({(d.camera, d.eye) for d in shared}) == 1
    healthy = phantom.draw("CFP", "normal", seed=3, size=64)
    alone = phantom.draw_finding("CFP", "microaneurysms", "mild", 3, 64)
    differs = np.abs(pixels(healthy) - pixels(alone)).max(-1) > 12  # small dots: most of the picture stays as it was
    assert 0 < differs.mean() < 0.2


def test_a_finding_is_not_the_same_in_every_eye():
    overlaps = []
    for modality, name in (("CFP", "hard exudates"), ("FFA", "staining")):
        for seed in range(8):
            masks = []
            for s in (seed, seed + 50):
                finding = phantom.Finding(name, "severe", "macula")
                drawing = phantom._draw(modality, "", [finding], "amber", s, 64)
                mask = np.abs(pixels(drawing) - pixels(phantom.draw(modality, "normal", "amber", s, 64))).max(-1) > 25
                mask = mask if drawing.eye == "right" else mask[:, ::-1]
                y, x = (int(v.mean()) for v in np.nonzero(mask))
                masks.append(np.roll(mask, (32 - y, 32 - x), (0, 1)))  # eyes lie differently before the camera
            overlaps.append((masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum())
    assert np.mean(overlaps) < 0.68, np.mean(overlaps)  # 0.57; 0.79 where the finding ignores the seed


@pytest.mark.parametrize("name", drawn_sets.SETS)
def test_camera_and_everything_else_but_findings_tell_nothing_about_the_category(name):
    rows = [row for row in drawn_sets.plan(1500, seed=0) if row["set"] == name][:300]
    frame = pd.DataFrame([{**phantom.nuisances(r["seed"], r["camera"]), "category": r["category"]} for r in rows])
    bright = [pixels(phantom.draw("CFP", "normal", r["camera"], r["seed"], 16)).mean() for r in rows]  # no finding
    numbers = frame.drop(columns=["category", "shift", "tree", "grain"]).assign(bright=bright)
    table = pd.get_dummies(numbers, columns=["camera", "eye"]).astype(float)
    table = (table - table.mean()) / (table.std() + 1e-9)
    guess = cross_val_score(LogisticRegression(C=0.1, max_iter=200), table, frame["category"], cv=4).mean()
    chance = frame["category"].value_counts(normalize=True).max()
    assert guess < chance + 3.5 * np.sqrt(chance * (1 - chance) / len(frame)), f"{guess:.3f} over chance {chance:.3f}"


@pytest.mark.parametrize(("modality", "category"), EVERY_CATEGORY)
def test_described_captions_never_name_and_named_captions_do(modality, category):
    forbidden = {word for _, words in captions.NAMES.values() for word in words}
    for seed in range(16):
        drawing = phantom.draw(modality, category, seed=seed, size=16)
        english, chinese = (captions.caption(drawing, language, seed=seed) for language in ("en", "zh"))
        for word in forbidden:
            assert word not in english.lower() and word not in chinese, (word, english, chinese)
        assert category not in english.lower() and captions.NAMES[category][0] not in chinese
        assert 10 <= len(english.split()) <= 45, english
        assert any("\u4e00" <= c <= "\u9fff" for c in chinese) and "{" not in english + chinese
        assert english.isascii() and not any(c.isascii() and c.isalpha() for c in chinese)
        assert category in captions.caption(drawing, "en", "named", seed).lower()
        assert captions.NAMES[category][0] in captions.caption(drawing, "zh", "named", seed)


def test_every_finding_has_phrases_in_both_languages():
    assert set(captions.ENGLISH) == set(captions.CHINESE) == set(EVERY_FINDING)
    assert min(len(set(v)) for v in (*captions.ENGLISH.values(), *captions.CHINESE.values())) >= 2


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn") / "sets"
    return folder, drawn_sets.draw_sets(folder, images=120, size=32, seed=1, progress=False)


def test_manifests(sets):
    folder, paths = sets
    assert set(paths) == {*drawn_sets.SETS, "expert_named", "expert_shuffled"}
    frames = {name: pd.read_csv(path, keep_default_na=False) for name, path in paths.items()}
    assert [len(frames[n]) for n in ("public", "expert", "unseen_refuge", "unseen_odir")] == [120, 48, 24, 24]
    for name, frame in frames.items():
        assert all((folder / image).is_file() for image in frame["image"])
        assert (frame["label"] == "").all() == name.startswith("expert")
        assert (frame["text"] != "").all() == name.startswith("expert") == (frame["text_zh"] != "").all()
    assert not set(frames["public"]["drawn_category"]) & set(drawn_sets.WITHHELD)
    assert set(drawn_sets.WITHHELD) <= set(frames["expert"]["drawn_category"])
    trained = set(frames["public"]["camera"]) | set(frames["expert"]["camera"])
    assert not trained & set().union(*(frames[n]["camera"] for n in frames if n.startswith("unseen")))
    assert set(frames["unseen_refuge"]["label"]) == {"glaucoma", "no glaucoma"}
    assert set(frames["unseen_odir"]["label"]) == {"normal", "pathologic myopia", "cataract"}
    expert, named, shuffled = (frames[n] for n in ("expert", "expert_named", "expert_shuffled"))
    assert (expert["image"] == named["image"]).all() and (expert["image"] == shuffled["image"]).all()
    assert all(c in text.lower() for c, text in zip(named["drawn_category"], named["text"], strict=True))
    assert sorted(shuffled["text"]) == sorted(expert["text"]) and (shuffled["text"] != expert["text"]).mean() > 0.9
    assert not [p for p in folder.parent.iterdir() if p != folder], "something half-written is left"


def test_shuffled_captions_never_keep_their_category():
    rng = np.random.default_rng(0)
    for _ in range(50):
        categories = rng.permutation(list("a" * 29 + "b" * 15 + "c" * 10 + "d" * 6))
        order = drawn_sets.shuffle_captions(categories, rng)
        assert sorted(order) == list(range(60)) and (categories[order] != categories).all()
    with pytest.raises(InputError):
        drawn_sets.shuffle_captions(list("aaab"), rng)


def test_sets_are_the_same_again_and_replace_older_ones(sets, tmp_path):
    folder, paths = sets
    (tmp_path / "images" / "public").mkdir(parents=True)
    (tmp_path / "images" / "public" / "old.jpg").write_bytes(b"")
    again = drawn_sets.draw_sets(tmp_path, images=120, size=32, seed=1, progress=False)
    assert all(paths[name].read_bytes() == again[name].read_bytes() for name in paths)
    assert all((folder / i).read_bytes() == (tmp_path / i).read_bytes() for i in pd.read_csv(again["public"])["image"])
    assert not (tmp_path / "images" / "public" / "old.jpg").exists()


@pytest.mark.parametrize("bad", [{"images": 0}, {"size": 15}, {"seed": -1}])
def test_bad_arguments_are_refused_and_write_nothing(bad, tmp_path):
    with pytest.raises(InputError):
        drawn_sets.draw_sets(tmp_path / "sets", progress=False, **bad)
    assert not list(tmp_path.iterdir())
    for call in (lambda: phantom.draw("MRI"), lambda: phantom.draw(category="flu"), lambda: phantom.draw(size=8),
                 lambda: phantom.draw_finding("OCT", "cupping"), lambda: phantom.draw(camera="phone")):
        with pytest.raises(InputError, match="phantom"):
            call()


def test_contact_sheet_has_a_row_for_every_finding():
    sheet = phantom.contact_sheet(size=32, columns=3)
    assert len(phantom.contact_sheet_key()) == len(EVERY_FINDING)
    assert sheet.size == (2 * (3 * 36 + 44), -(-len(EVERY_FINDING) // 2) * 36)
