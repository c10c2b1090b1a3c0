"""Drawn angiogram studies: one eye in all frames, findings that evolve, reports, files, the atlas beside them."""

import json
import re
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.ndimage import maximum_filter

from keepfit_mini import captions, drawn_studies, phantom_phases
from keepfit_mini.config import InputError
from keepfit_mini.drawn_studies import draw_studies, plan, write_report
from keepfit_mini.phantom import CAMERAS, SEVERITIES, Finding
from keepfit_mini.phantom_phases import FINDING_PLACES, PHASES, PLACES, draw_study, phases_of
from keepfit_mini.studies import read_studies

EVERYWHERE = [(name, place) for name, places in FINDING_PLACES.items() for place in places]


def frames(*findings, seed=0, size=64, camera="amber"):
    """(3, size, size): early, arteriovenous and late frame of the right eye or, mirrored, of the left one."""
    study = draw_study([Finding(*f) for f in findings], seed, size, camera=camera)
    return np.stack([np.asarray(f.convert("L"), float) for f in study.frames])[..., :: 1 if study.eye == "right" else -1]


def change(name, severity, place, **settings):
    """What a finding changes in each frame, (3, size, size); the other eye, camera and noise are the same."""
    return frames((name, severity, place), **settings) - frames(**settings)


def test_same_arguments_same_pixels_and_a_seed_is_an_eye():
    assert np.array_equal(frames(seed=4), frames(seed=4)) and not np.array_equal(frames(seed=4), frames(seed=5))
    spots = [Finding("staining", "mild", "macula"), Finding("leakage", "severe", "inferonasal")]
    with_more, plain = draw_study(spots, 4), draw_study((), 4)
    assert (with_more.eye, with_more.camera, with_more.phases) == (plain.eye, plain.camera, PHASES)
    assert [f.size for f in with_more.frames] == [(64, 64)] * 3 and with_more.frames[0].mode == "RGB"
    assert np.array_equal(*(np.asarray(draw_study(f, 4).frames[2]) for f in (spots, spots[::-1])))  # order tells nothing


@pytest.mark.parametrize(("name", "place"), EVERYWHERE)
def test_a_finding_lies_in_its_place_and_grows_with_severity(name, place):
    seen, places = [], {**PLACES, "disc": (15, 1.5, 0)}
    for severity in SEVERITIES:
        for seed in range(4):
            study = phantom_phases.nuisances(seed, "amber")
            strong = np.abs(change(name, severity, place, seed=seed)).max(0)
            y, x = np.nonzero(strong > 30)
            assert len(x), f"{name} ({severity}) leaves no trace in {place}"
            scale = 32 * CAMERA.zoom / CAMERA.field  # pixels a degree
            middle = np.array([(x.mean() + 0.5 - 32) / scale + 6 + 0.3 * (study["centre_x"] - 4.5),
                               (32 - y.mean() - 0.5) / scale + study["centre_y"]])  # fmt: skip
            far = {p: np.hypot(*(middle - places[p][:2])) for p in places}
            assert min(far, key=far.get) == place, (severity, seed, middle)
            seen.append(len(x))
    mild, moderate, severe = np.reshape(seen, (3, 4)).mean(1)
    assert mild * 1.5 < moderate and moderate * 1.5 < severe, seen


CAMERA = phantom_phases.Eye("FFA", 64, phantom_phases.nuisances(0, "amber")).camera


def test_findings_evolve_as_they_do():
    size = [(np.abs(change("leakage", "moderate", "macula", seed=s)) > 30).sum((1, 2)) for s in range(6)]
    early, middle, late = np.mean(size, 0)
    assert early * 2 < middle and middle * 1.5 < late, "leakage grows"
    size = [(change("staining", "severe", "superotemporal", seed=s) > 30).sum((1, 2)) for s in range(6)]
    early, middle, late = np.mean(size, 0)
    assert early * 2 < middle and 0.75 < middle / late < 1.25, "staining appears and keeps its size"
    shine = np.mean([change("microaneurysms", "severe", "inferotemporal", seed=s).clip(0).sum((1, 2)) for s in range(6)], 0)
    assert shine[0] * 3 < shine[1] and shine[0] * 3 < shine[2], "microaneurysms shine from the arteriovenous phase on"
    shine = np.mean([change("neovascularisation", "severe", "superonasal", seed=s).clip(0).sum((1, 2)) for s in range(6)], 0)
    assert shine[0] > 2000 and shine[2] > 1.3 * shine[0], "new vessels are there early and leak late"
    for seed in range(4):  # non-perfusion: as dark as the fovea, in every frame
        shown = frames(("non-perfusion", "severe", "inferotemporal"), seed=seed)
        gone = change("non-perfusion", "severe", "inferotemporal", seed=seed)[1] < -30
        assert gone.sum() > 40 and (np.median(shown[:, gone], 1) < 32).all()


def test_frames_of_one_eye_in_three_phases():
    for seed in range(5):
        early, middle, late = (f[8:-8, 8:-8] for f in frames(seed=seed, size=96))
        contrast = [np.percentile(f, 97) - np.median(f) for f in (early, middle, late)]
        assert np.median(early) < np.median(middle) and contrast[1] > 1.5 * contrast[2], "vessels fade late"
        assert (early > early.mean() + 40).sum() < 0.75 * (middle > middle.mean() + 40).sum(), "veins are dark early"
        bright = early > np.percentile(early, 97)  # arteries; within two pixels they are bright a frame later, in that eye only
        shared = [(maximum_filter(m, 5)[bright] > np.percentile(m, 88)).mean() for m in
                  (middle, *(frames(seed=other, size=96)[1][8:-8, 8:-8] for other in range(20, 24)))]  # fmt: skip
        assert shared[0] > 0.9 and shared[0] > max(shared[1:]), shared


def test_views_and_phases():
    assert [phases_of(n) for n in (1, 2, 3, 5)] == [PHASES[1:2], PHASES[1:], PHASES, (*PHASES, "late", "late")]
    four = draw_study((), 3, 32, views=4)
    assert four.phases[2:] == ("late", "late") and not np.array_equal(*(np.asarray(f) for f in four.frames[2:]))
    assert np.abs(np.subtract(*(np.asarray(f, float) for f in four.frames[2:]))).mean() < 25  # the gaze moved a little
    assert draw_study((), 3, 32, phases=("late",)).phases == ("late",)


@pytest.mark.parametrize("bad", [
    {"views": 0}, {"size": 8}, {"seed": -1}, {"camera": "phone"}, {"phases": ("venous",)}, {"phases": ()},
    {"findings": [Finding("drusen", "mild", "macula")]}, {"findings": [Finding("leakage", "mild", "disc")]},
    {"findings": [Finding("leakage", "terrible", "macula")]},
    {"findings": [Finding("leakage", "mild", "macula"), Finding("leakage", "mild", "superonasal")]}])  # fmt: skip
def test_bad_arguments_are_refused(bad):
    with pytest.raises(InputError):
        draw_study(**{"size": 32, **bad})


# -------------------------------------------------------------------------------------------------------------- the plan


def test_severity_place_and_name_are_drawn_apart():
    rows, atlas = plan(3000, seed=1)
    table = pd.DataFrame([vars(f) | {"split": r["split"], "camera": r["camera"]} for r in rows for f in r["findings"]])
    for one, two in combinations(("severity", "camera", "split"), 2):
        assert dependence(table, one, two) < 4
    for _, group in table.groupby("name"):
        assert dependence(group, "severity", "place") < 4
    assert dependence(table, "severity", "name") < 4
    assert 0.145 < np.mean([not r["findings"] for r in rows]) < 0.155 and max(len(r["findings"]) for r in rows) == 3
    assert all(len({f.place for f in r["findings"]}) == len({f.name for f in r["findings"]}) == len(r["findings"]) for r in rows)
    splits = pd.Series([r["split"] for r in rows]).value_counts().to_dict()
    assert splits == {"train": 2400, "val": 300, "test": 300}
    assert len(atlas) == 600 and len({r["seed"] for r in rows + atlas}) > 3595  # other eyes
    assert {r["camera"] for r in rows + atlas} <= set(CAMERAS)


def dependence(table, one, two):
    """Chi-square in standard deviations from what it is for columns that know nothing of each other."""
    counts = pd.crosstab(table[one], table[two]).to_numpy().astype(float)
    expected = counts.sum(1, keepdims=True) * counts.sum(0) / counts.sum()
    freedom = (counts.shape[0] - 1) * (counts.shape[1] - 1)
    return (((counts - expected) ** 2 / expected).sum() - freedom) / np.sqrt(2 * freedom)


# ----------------------------------------------------------------------------------------------------------- the reports


def test_reports_are_short_name_no_disease_and_only_what_was_photographed():
    diseases = {word for words in (w for name, (_, w) in captions.NAMES.items() if name != "normal") for word in words}
    lengths, texts = [], set()
    for row in plan(600, seed=3)[0]:
        for phases in (PHASES, PHASES[1:], PHASES[1:2]):
            english, chinese = write_report(row["findings"], phases, "left", row["seed"])
            words = english.split()
            lengths.append(len(words))
            sentences = re.split(r"(?<=\.) ", english)
            assert 2 <= len(sentences) <= 5 and all(s[0].isupper() and s[-1] == "." for s in sentences), english
            assert len(sentences) == chinese.count("。") and english.isascii() and "{" not in english + chinese
            assert not any(c.isascii() and c.isalpha() for c in chinese)
            assert not [w for w in diseases if re.search(rf"\b{w}" if w.isascii() else w, english.lower() + chinese)], english
            for phase, chinese_word in (("early", "早期"), ("late", "晚期")):
                assert phase in phases or not re.search(rf"\b{phase}", english) and chinese_word not in chinese, english
            assert "left eye" in english.lower() and "right eye" not in english.lower() and "左眼" in chinese
        texts.add(english)
    assert min(lengths) >= 15 and max(lengths) <= 70 and len(texts) > 400


def test_the_strongest_finding_comes_first():
    spots = (Finding("microaneurysms", "mild", "macula"), Finding("staining", "severe", "inferonasal"))
    for seed in range(5):
        english, _ = write_report(spots, PHASES, "right", seed)
        assert english.lower().index("stain") < english.lower().index("microaneurysms")


# ------------------------------------------------------------------------------------------------------------- the files


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn") / "studies"
    return folder, draw_studies(folder, studies=40, size=32, seed=1, progress=False)


def test_files_and_their_reader_agree(drawn):
    folder, paths = drawn
    annotation = json.loads(paths["annotation"].read_text(encoding="utf-8"))
    assert {split: len(cases) for split, cases in annotation.items()} == {"train": 32, "val": 4, "test": 4}
    studies, rows = read_studies(paths["annotation"]), plan(40, seed=1)[0]
    assert sorted(s.id for s in studies) == [r["id"] for r in rows] and not studies.left_out
    for study in studies:
        row = next(r for r in rows if r["id"] == study.id)
        assert study.findings == row["findings"] and study.phases == PHASES and study.split == row["split"]
        assert [p.relative_to(folder).as_posix() for p in study.images] == [f"images/{study.id}/{i}.jpg" for i in (1, 2, 3)]
        assert Image.open(study.images[0]).size == (32, 32) and Image.open(study.images[0]).mode == "L"
        drawing = draw_study(row["findings"], row["seed"], 32, 3, row["camera"])
        assert (study.report, study.report_zh) == write_report(row["findings"], PHASES, drawing.eye, row["seed"])
        assert np.abs(np.asarray(Image.open(study.images[2]), float) - np.asarray(drawing.frames[2].convert("L"))).mean() < 3
    assert not [p for p in folder.parent.iterdir() if p != folder], "something half-written is left"


def test_the_atlas_shows_other_eyes_in_other_words(drawn):
    folder, paths = drawn
    expert, shuffled = (pd.read_csv(paths[name], keep_default_na=False) for name in ("expert", "expert_shuffled"))
    assert len(expert) == 12 and (expert["image"] == shuffled["image"]).all() and (expert["label"] == "").all()
    assert (expert["modality"] == "FFA").all() and all((folder / image).is_file() for image in expert["image"])
    assert sorted(expert["text"]) == sorted(shuffled["text"]) and (expert["text"] != shuffled["text"]).mean() > 0.8
    own = dict(zip(expert["text"], expert["drawn_category"], strict=True))
    assert expert["text"].is_unique and all(own[t] != c for t, c in zip(shuffled["text"], expert["drawn_category"], strict=True))
    assert all(text.lower().startswith(phase) for text, phase in zip(expert["text"], expert["phase"], strict=True))
    assert {f for row in expert["findings"] for f in row.split(";") if f} and set(expert["phase"]) <= set(PHASES)
    reports = {sentence for row in plan(300, 1)[0] for sentence in
               re.split(r"(?<=\.) ", write_report(row["findings"], PHASES, "right", row["seed"])[0])}  # fmt: skip
    assert not reports & {s for text in expert["text"] for s in re.split(r"(?<=\.) ", text)}


def test_same_seed_same_files_and_older_ones_are_replaced(drawn, tmp_path):
    folder, paths = drawn
    for name in ("study00099/1.jpg", "public/0.jpg"):
        (tmp_path / "images" / name).parent.mkdir(parents=True)
        (tmp_path / "images" / name).write_bytes(b"")
    again = draw_studies(tmp_path, studies=40, size=32, seed=1, progress=False)
    for path in sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file()):
        assert (folder / path).read_bytes() == (tmp_path / path).read_bytes(), path
    assert not (tmp_path / "images" / "study00099").exists() and (tmp_path / "images" / "public" / "0.jpg").exists()
    assert set(again) == {"annotation", "images", "expert", "expert_shuffled"} and set(again) == set(paths)


@pytest.mark.parametrize("bad", [{"studies": 9}, {"size": 15}, {"seed": -1}, {"views": 0}])
def test_bad_settings_write_nothing(bad, tmp_path):
    with pytest.raises(InputError):
        draw_studies(tmp_path / "studies", progress=False, **{"studies": 10, **bad})
    assert not list(tmp_path.iterdir())


def test_stopped_half_way_nothing_is_changed(tmp_path, monkeypatch):
    out = tmp_path / "studies"
    draw_studies(out, studies=10, size=16, progress=False)
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}

    def stop(*_):
        raise KeyboardInterrupt
    monkeypatch.setattr(drawn_studies, "_atlas_row", stop)
    with pytest.raises(KeyboardInterrupt):
        draw_studies(out, studies=10, size=16, seed=2, progress=False)
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before and list(tmp_path.iterdir()) == [out]
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file: is a file: give a folder"):
        draw_studies(tmp_path / "file", studies=10, progress=False)
