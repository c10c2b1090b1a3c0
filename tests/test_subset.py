"""A subset: n a finding, no patient and no book figure on two sides, the same for the same seed, refusals with numbers."""

import csv
import random
import sys
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

import keepfit_mini as kf
from keepfit_mini.leaks import Pictures, leaks
from keepfit_mini.patients import groups, patients, read_rows
from keepfit_mini.subset import SHARES, choose, read_sources, shows, split_groups, write_subset

sys.path.insert(0, str(Path(__file__).parents[1] / "data_scripts"))
from make_subset import main  # noqa: E402


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.delenv("KEEPFIT_DATA", raising=False)
    return tmp_path


def manifest(path, rows):
    """rows: dicts; each gets a picture of its own colour beside the CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for i, row in enumerate(rows):
        Image.new("RGB", (8, 8), (i % 256, i // 256, 0)).save(path.parent / row["image"])
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def eyes(place):
    """100 patients with two eyes; 60 photographs of glaucoma, 20 of cataract, the others normal; 10 angiograms."""
    chance = random.Random(3)
    rows = [{"image": f"{n}_{side}.png", "label": ""} for n in range(100) for side in ("left", "right")]
    chance.shuffle(rows)
    for i, row in enumerate(rows):
        row["label"] = "glaucoma" if i < 60 else "cataract;normal" if i < 80 else "normal"
    rows += [{"image": f"f{i}.png", "label": "leakage", "modality": "FFA"} for i in range(10)]
    return manifest(place / "eyes" / "m.csv", rows)


def table(path):
    return pd.read_csv(path, keep_default_na=False, dtype=str)


def test_n_a_finding_and_no_patient_on_two_sides(eyes, capsys):
    out = eyes.parent / "small.csv"
    names = ["--findings", "glaucoma", "cataract", "normal", "--per-finding", "20"]
    assert main([str(eyes), "--out", str(out), *names, "--seed", "4"]) == 0
    frame = table(out)
    assert frame["finding"].value_counts().to_dict() == {"glaucoma": 20, "cataract": 20, "normal": 20}
    assert frame["image"].is_unique and set(frame["modality"]) == {"CFP"}
    who = frame["image"].str.extract(r"(\d+)_")[0]
    assert (frame["split"].groupby(who).nunique() == 1).all() and who.duplicated().sum() > 5  # there was something to keep
    assert set(frame[frame["finding"] == "cataract"]["label"]) == {"cataract;normal"}  # labels stay; the rarest counts
    assert len(kf.read_manifest(out)) == 60
    counted = pd.crosstab(frame["finding"], frame["split"])
    assert (counted["train"].between(12, 16) & counted["val"].between(1, 4) & counted["test"].between(2, 6)).all()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["split", "train", "val", "test", "all"]
    assert [line.split()[-1] for line in lines[2:6]] == ["20", "20", "20", "60"]

    again, other = eyes.parent / "again.csv", eyes.parent / "other.csv"
    assert main([str(eyes), "--out", str(again), *names, "--seed", "4"]) == 0
    assert main([str(eyes), "--out", str(other), *names, "--seed", "5"]) == 0
    assert again.read_text() == out.read_text() != other.read_text()


def test_pictures_stay_or_are_copied(eyes, place, capsys):
    names = ["--findings", "cataract", "glaucoma", "--separate", "--splits", "a=0.5", "b=0.5"]
    assert main([str(eyes), "--out", str(place / "far"), *names]) == 2
    assert "give --copy, or --out FILE.csv" in capsys.readouterr().err.splitlines()[-1]
    assert sorted(p.name for p in place.iterdir()) == ["eyes"]  # nothing half-written
    assert main([str(eyes), "--out", str(place / "far"), *names, "--copy"]) == 0
    assert sorted(p.name for p in (place / "far").iterdir()) == ["a.csv", "b.csv", "pictures"]
    for name in "ab":
        frame = kf.read_manifest(place / "far" / f"{name}.csv")
        assert len(frame) == 40 and set(table(place / "far" / f"{name}.csv")["split"]) == {name}
        for image, old in zip(frame["image"], table(place / "far" / f"{name}.csv")["orig_name"], strict=True):
            assert Path(image).read_bytes() == (eyes.parent / old).read_bytes()
    assert main([str(eyes), "--out", str(place / "far"), *names, "--copy"]) == 2
    assert "far: exists already" in capsys.readouterr().err


@pytest.mark.parametrize("source", ["ODIR", None])
def test_a_subset_and_its_original_share_patients(place, source):
    rows = [{"image": f"{n}_{side}.png", "label": "x"} for n in range(10) for side in ("left", "right")]
    rows += [{"image": f"scan{n}.png", "label": "x", "patient": f"p{n}"} for n in range(3)]
    original = manifest(place / "m.csv", [{**row, "source": source} if source else row for row in rows])
    assert main([str(original), "--out", str(place / "copy"), "--copy"]) == 0
    subset = place / "copy" / "manifest.csv"
    assert set(table(subset)["patient"]) == {*map(str, range(10)), "p0", "p1", "p2"}  # no source, no path of this machine
    pairs = leaks(Pictures(original), Pictures(subset), None)
    shared = pairs[pairs["kind"] == "patient"]
    assert len(shared) == 23 and shared["what"].nunique() == 13
    again = read_sources([subset])
    assert again["group"].nunique() == 13


def test_people_of_two_manifests_with_one_number_are_two(place):
    both = [manifest(place / name / "m.csv", [{"image": f"{n}_left.png", "label": "x"} for n in range(3)]) for name in "ab"]
    frame = read_sources(both)
    assert frame["group"].nunique() == 6 and frame["patient"].tolist() == ["0", "1", "2"] * 2


def test_what_cannot_be_written_is_one_line(eyes, place, capsys):
    for out, more in ((eyes / "x.csv", []), (eyes / "deep" / "x", ["--copy"])):  # below a file
        assert main([str(eyes), "--out", str(out), *more]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1 and "cannot be written" in lines[0], lines
    assert sorted(path.name for path in place.iterdir()) == ["eyes"]


def test_a_csv_needs_no_folder_beside_it(eyes, place, monkeypatch):
    monkeypatch.setattr("tempfile.mkdtemp", lambda *_, **__: pytest.fail("a temporary folder was made"))
    assert main([str(eyes), "--out", str(eyes.parent / "x.csv")]) == 0 and len(table(eyes.parent / "x.csv")) == 200
    monkeypatch.setenv("KEEPFIT_DATA", str(eyes.parent))
    assert main([str(eyes), "--out", str(place / "new" / "x.csv")]) == 0 and len(kf.read_manifest(place / "new" / "x.csv")) == 200
    assert [path.name for path in (place / "new").iterdir()] == ["x.csv"]


def test_rows_of_a_book(place):
    rows = []
    for figure in range(30):
        for panel in "ABC":
            rows.append({"image": f"{figure}{panel}.png", "figure": f"2-{figure}", "page": str(figure // 2), "text": (
                "Macular hole with a cuff." if figure % 2 else "Drusen of the posterior pole, no macular hole.")})  # fmt: skip
    path = manifest(place / "book" / "m.csv", rows)
    frame = read_sources([path])
    assert frame["group"].nunique() == 15  # two figures a page
    frame = choose(frame, ["hole=macular hole", "drusen"])
    assert frame["finding"].value_counts().to_dict() == {"hole": 45, "drusen": 45}  # what is denied is not there
    frame["split"] = split_groups(frame, SHARES, 1)
    assert (frame["split"].groupby(frame["page"]).nunique() == 1).all() and set(frame["split"]) == set(SHARES)
    out = write_subset(frame, place / "book" / "out.csv")[0]
    assert set(table(out)["figure"]) == {f"2-{i}" for i in range(30)}
    assert main([str(path), "--out", str(place / "book" / "none.csv")]) == 2  # no labels, no findings named


def test_groups_are_chained():
    figures, pages = ["1", "1", "2", "", "", "1"], ["", "7", "7", "", "9", "7"]
    frame = pd.DataFrame({"file": ["a"] * 5 + ["b"], "figure": figures, "page": pages})
    first, second, third, fourth, fifth, sixth = groups(frame, ["", "", "", "p", "p", ""])
    assert first == second == third and fourth == fifth
    assert len({first, fourth, sixth}) == 3  # figure 1 on page 7 of another book is another one
    assert groups(frame.iloc[:1], [""]) == [0] and len(set(groups(frame[["file"]], [""] * 6))) == 6


def test_patients(place):
    path = manifest(place / "m.csv", [
        {"image": "x1.png", "orig_name": "12_left.jpg", "source": "ODIR", "person": "", "label": "a"},
        {"image": "x2.png", "orig_name": "12_RIGHT.jpg", "source": "ODIR", "person": "9", "label": "a"},
        {"image": "x3.png", "orig_name": "12_left.jpg", "source": "", "person": "", "label": "a"},
        {"image": "x4.png", "orig_name": "scan12.png", "source": "", "person": "", "label": "a"},
    ])  # fmt: skip
    frame = read_rows(path)
    assert patients(frame) == ["odir/12", "odir/12", "12", ""]
    assert patients(frame, "Person") == ["odir/12", "odir/9", "12", ""]
    assert patients(frame, pattern=r"scan(\d+)") == ["", "", "", "12"]
    for settings, words in (({"column": "nobody"}, "no column `nobody`"), ({"pattern": "("}, "not a regular expression"),
                            ({"pattern": "scan"}, "has no group")):  # fmt: skip
        with pytest.raises(kf.InputError, match=words):
            patients(frame, **settings)


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("A macular hole.", True),
        ("Macular Hole, full thickness", True),
        ("No sign of a macular hole", False),
        ("without macular hole; later a macular hole", True),
        ("macular holes", False),
        ("No drusen. A macular hole", True),
    ],
)
def test_words_of_captions(text, there):
    frame = pd.DataFrame({"labels": [[], ["cataract"]], "text": [text, text]})
    assert shows(frame, "hole=macular hole").tolist() == [there, False]  # where labels are, they count
    assert shows(frame, "hole=macular hole", captions=True).tolist() == [there, there]
    assert shows(frame, "Cataract").tolist() == [False, True]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--per-finding", "30", "--findings", "cataract", "glaucoma"], "30 rows each: there are of cataract 20: ask for fewer"),
        (["--per-finding", "190", "--findings", "cataract", "normal"], r"normal 120 \(and 20 that count|cataract 20, normal 140"),
        (["--findings", "hole"], "a row each: there are of hole 0"),
        (["--modality", "OCT"], "m.csv: no row is OCT: there are 200 CFP, 10 FFA"),
        (["--splits", "train=0.5", "test=0.4"], "add up to 1"),
        (["--splits", "train"], "give them like train=0.8"),
        (["--splits", "../x=1"], "names are letters"),
        (["--per-finding", "2", "--findings", "cataract"], "nothing is left for 'val'.*ask for more rows"),
        (["--per-finding", "0"], "1 or more"),
        (["--seed", "-1"], "0 or more"),
        (["--patient-pattern", "["], "regular expression"),
        (["--findings", "=", "normal"], "names no finding"),
    ],
)
def test_refusals(eyes, capsys, more, words):
    before = sorted(eyes.parent.iterdir())
    code = main([str(eyes), "--out", str(eyes.parent / "out.csv"), *more])
    lines = capsys.readouterr().err.splitlines()
    assert code == 2 and len(lines) == 1 and sorted(eyes.parent.iterdir()) == before
    assert pd.Series(lines).str.contains(words).all(), lines


def test_bad_manifests(place, eyes, capsys):
    twice = manifest(place / "twice" / "m.csv", [{"image": "a.png", "label": "x"}, {"image": "b.png", "label": "x"}])
    twice.write_text(twice.read_text() + "./a.png,y\n")
    missing = manifest(place / "missing" / "m.csv", [{"image": "a.png", "label": "x"}])
    (place / "missing" / "a.png").unlink()
    empty = place / "empty.csv"
    empty.write_bytes(b"")
    bad = {
        twice: "twice/m.csv, row 4: picture .*stands in .*row 2 already",
        missing: "row 2: picture .*is missing",
        empty: "empty.csv: the file is empty",
        place / "none.csv": "no such manifest",
    }
    for path, words in bad.items():
        assert main([str(path), "--out", str(place / "out")]) == 2
        last = capsys.readouterr().err.splitlines()[-1]
        assert pd.Series([last]).str.contains(words).all() and not (place / "out").exists(), last
    assert main([str(eyes), str(eyes), "--out", str(place / "out")]) == 2  # a manifest given twice


@pytest.mark.real
def test_odir(tmp_path, real_data):
    out = tmp_path / "small"
    names = ["--findings", "cataract", "normal", "pathologic myopia=pathological myopia", "--per-finding", "60"]
    assert main([str(real_data / "odir_pretrain.csv"), str(real_data / "odir200x3.csv"), "--out", str(out), *names]) == 0
    frame = table(out / "manifest.csv")
    assert len(frame) == 180 and "" not in set(frame["patient"])
    assert (frame["split"].groupby(frame["patient"]).nunique() == 1).all()
    assert len(kf.read_manifest(out / "manifest.csv")) == 180


@pytest.fixture
def real_data():
    import os

    if not os.environ.get("KEEPFIT_DATA"):
        pytest.skip("KEEPFIT_DATA is not set: no real photographs here")
    return Path(os.environ["KEEPFIT_DATA"])
