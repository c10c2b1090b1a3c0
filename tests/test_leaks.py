"""Leaks: names, bytes, likeness and patients that two manifests share, and those that they do not."""

import csv
import io
import json
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from keepfit_mini import leaks as module
from keepfit_mini.leaks import Likeness, Pictures, another_copy, leaks, near, summary
from keepfit_mini.phantom import draw

sys.path.insert(0, str(Path(__file__).parents[1] / "data_scripts"))
from leak_check import main  # noqa: E402


@pytest.fixture(autouse=True)
def no_data(monkeypatch, request):
    if "real" not in request.keywords:
        monkeypatch.delenv("KEEPFIT_DATA", raising=False)


def manifest(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def eyes():
    """Forty drawn photographs of as many eyes, of few cameras."""
    return [draw("CFP", ("normal", "glaucoma", "cataract")[i % 3], seed=i, size=160).image.convert("RGB") for i in range(40)]


@pytest.fixture
def two(tmp_path, eyes):
    """a: eyes 0-19. b: eyes 20-39, and of a: 3 as the same file, 4 and 5 saved anew, 6 in another disc and size."""
    for name, chosen in (("a", range(20)), ("b", range(20, 40))):
        (tmp_path / name).mkdir()
        for i in chosen:
            eyes[i].save(tmp_path / name / f"{name}{i}.png")
    (tmp_path / "b" / "other.png").write_bytes((tmp_path / "a" / "a3.png").read_bytes())
    eyes[4].save(tmp_path / "b" / "A4.JPG", quality=70)
    eyes[5].resize((120, 120)).save(tmp_path / "b" / "five.png")
    another_copy(eyes[6], np.random.default_rng(2)).save(tmp_path / "b" / "six.png")
    rows = [{"image": f"a{i}.png", "label": "x", "orig_name": f"{i}_left.png"} for i in range(20)]
    a = manifest(tmp_path / "a" / "m.csv", rows)
    names = [*(f"b{i}.png" for i in range(20, 40)), "other.png", "A4.JPG", "five.png", "six.png"]
    olds = [*(f"{i}_left.png" for i in range(20, 40)), "o.png", "a4.png", "7_RIGHT.png", "8_left.png"]
    b = manifest(tmp_path / "b" / "m.csv", [{"image": n, "label": "x", "orig_name": o} for n, o in zip(names, olds, strict=True)])
    return a, b


def found(pairs, kind):
    some = pairs[pairs["kind"] == kind]
    return set(zip(some["a_image"], some["b_image"], some["what"], strict=True))


def test_what_is_shared_is_found_and_nothing_else(two):
    a, b = map(Pictures, two)
    pairs = leaks(a, b, progress=False)
    assert found(pairs, "name") == {("a4.png", "A4.JPG", "a4.png"), ("a8.png", "six.png", "8_left.png")}
    assert {(x, y) for x, y, _ in found(pairs, "bytes")} == {("a3.png", "other.png")}
    assert all(len(what) == 64 for _, _, what in found(pairs, "bytes"))
    assert {(x, y) for x, y, _ in found(pairs, "near")} == {
        ("a3.png", "other.png"), ("a4.png", "A4.JPG"), ("a5.png", "five.png"), ("a6.png", "six.png")}  # fmt: skip
    assert found(pairs, "patient") == {("a7.png", "five.png", "7"), ("a8.png", "six.png", "8")}
    row = pairs[(pairs["kind"] == "bytes")].iloc[0]
    assert (row["a_row"], row["b_row"]) == (5, 22)  # as a spreadsheet counts
    text = summary(a, b, pairs, Likeness())
    counts = {line[:22].strip(): line[22:29].strip() for line in text.splitlines()[1:]}
    assert counts == {"same file name": "2", "same bytes": "1", "near-equal": "4", "under other names": "2", "same patient": "2"}
    assert leaks(a, a, progress=False)["kind"].value_counts().to_dict() == dict.fromkeys(("name", "bytes", "near", "patient"), 20)


def test_the_script(two, tmp_path, capsys):
    a, b = map(str, two)
    out = tmp_path / "pairs.csv"
    assert main([a, b, "--out", str(out)]) == 0
    assert len(pd.read_csv(out)) == 9 and "9 pairs" in capsys.readouterr().out
    assert main([a, b, "--fail"]) == 1
    clean = str(manifest(tmp_path / "b" / "clean.csv", [{"image": f"b{i}.png", "label": "x"} for i in range(20, 30)]))
    assert main([a, clean, "--fail"]) == 0
    assert main([a, b, clean, "--no-near", "--out", str(out)]) == 0
    pairs = pd.read_csv(out)
    assert set(zip(pairs["a"], pairs["b"], strict=True)) == {(a, b), (b, clean)} and "near" not in set(pairs["kind"])
    assert main([a, b, "--distance", "0", "--no-near", "--patient-pattern", "^(none)"]) == 0
    assert "not known in m.csv and m.csv" in capsys.readouterr().out


def test_absent_pictures_are_compared_by_name(tmp_path, two, capsys):
    frame = tmp_path / "frames" / "list.csv"
    manifest(frame, [{"image": f"08_ODIR/train\\A{i}.PNG", "atributes": "[]", "categories": "['x']"} for i in (1, 2, 2, 30)])
    pairs = leaks(Pictures(two[0]), Pictures(frame), progress=False)
    assert found(pairs, "name") == {(f"a{i}.png", f"08_ODIR/train\\A{i}.PNG", f"a{i}.png") for i in (1, 2)}
    assert main([str(two[0]), str(frame)]) == 0
    said = capsys.readouterr().out
    assert "list.csv: 3 pictures are absent" in said and "not compared: one side has no pictures" in said
    assert "(3 in 4)" in said  # a picture that stands in two rows is one


def test_a_strange_manifest_opens_no_file_of_another_folder(tmp_path, two):
    sly = manifest(tmp_path / "sly" / "m.csv", [{"image": "../a/a3.png", "label": "x"}, {"image": "/etc/passwd", "label": "x"}])
    assert Pictures(sly).files == [None, None]
    assert found(leaks(Pictures(two[0]), Pictures(sly), progress=False), "bytes") == set()
    assert Pictures(sly, root=tmp_path).files[0].endswith("a3.png")


def test_patients_of_different_sources_are_different_people(tmp_path):
    rows = [{"image": f"{i}_left.jpg", "label": "x", "source": "ODIR-5K"} for i in range(3)]
    a = manifest(tmp_path / "a.csv", rows)
    b = manifest(tmp_path / "b.csv", [{**row, "image": f"new_{i}.jpg", "patient": str(i)} for i, row in enumerate(rows)])
    c = manifest(tmp_path / "c.csv", [{**row, "image": row["image"].replace("left", "od"), "source": "EyePACS"} for row in rows])
    assert len(found(leaks(Pictures(a), Pictures(b), None), "patient")) == 3
    assert len(found(leaks(Pictures(a), Pictures(c), None), "patient")) == 0


def test_near_is_the_hamming_distance(monkeypatch):
    chance = np.random.default_rng(0)
    a, b = chance.random((37, 64)) < 0.5, chance.random((23, 64)) < 0.5
    slow = {(i, j, int((a[i] != b[j]).sum())) for i in range(37) for j in range(23)}
    monkeypatch.setattr(module, "BLOCK", 10)  # several blocks, the last one short
    assert set(near(a, b, 64)) == slow
    assert set(near(a, b, 25)) == {one for one in slow if one[2] <= 25} != set()
    assert near(a, a, 0) == [(i, i, 0) for i in range(37)]
    assert near(np.zeros((0, 64), bool), b, 64) == []


def test_many_hashes_are_compared_in_seconds():
    import time

    chance = np.random.default_rng(0)
    a, b = chance.random((10_000, 256)) < 0.5, chance.random((10_000, 256)) < 0.5
    b[7] = a[9_999]
    start = time.perf_counter()
    assert near(a, b, 32) == [(9_999, 7, 0)]
    assert time.perf_counter() - start < 15  # 100 million pairs


def test_pictures_that_do_not_decode_are_named(two, capsys):
    (two[0].parent / "a9.png").write_bytes(b"")
    (two[1].parent / "b22.png").write_bytes(b"junk")
    a, b = map(Pictures, two)
    assert len(found(leaks(a, b, progress=False), "near")) == 4 and (a.unreadable, b.unreadable) == (1, 1)
    assert "a9.png does not decode" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--distance", "256"], "under its square"),
        (["--hash-size", "1"], "2 to 64"),
        (["--hash", "whash", "--hash-size", "12"], "power of two"),
        (["--patient-column", "nobody"], "no column `nobody`"),
        (["--patient-pattern", "x"], "has no group"),
    ],
)
def test_refusals(two, capsys, more, words):
    assert main([*map(str, two), *more]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and words in lines[0]


def test_bad_manifests(two, tmp_path, capsys):
    (tmp_path / "empty.csv").write_bytes(b"")
    (tmp_path / "header.csv").write_text("image,label\n")
    bad = {"": "give two or more", "empty.csv": "empty.csv: the file is empty", "header.csv": "no rows under it",
           "no.csv": "no such manifest"}  # fmt: skip
    for other, words in bad.items():
        out = tmp_path / "pairs.csv"
        assert main([str(two[0]), *([str(tmp_path / other)] if other else []), "--out", str(out)]) == 2 and not out.exists()
        assert words in capsys.readouterr().err.splitlines()[-1]


def test_without_imagehash_names_still_tell(two, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "imagehash", None)
    assert main([*map(str, two)]) == 2 and "pip install ImageHash, or give --no-near" in capsys.readouterr().err
    assert main([*map(str, two), "--no-near"]) == 0


def test_another_likeness_is_computed_anew(two):
    likenesses = Likeness("phash", 16, 32), Likeness("phash", 8, 8), Likeness("dhash", 8, 8), Likeness("dhash", 8, 3)
    a, b = map(Pictures, two)
    (two[0].parent / "a9.png").write_bytes(b"")
    for likeness in likenesses:
        fresh = leaks(*map(Pictures, two), likeness, progress=False)
        pd.testing.assert_frame_equal(leaks(a, b, likeness, progress=False), fresh)
        assert a.bits.shape == (19, likeness.hash_size**2) and len(a.hashed) == 19 and a.unreadable == 1


def test_calibration_wants_pictures_that_decode(two, tmp_path, capsys):
    absent = manifest(tmp_path / "absent.csv", [{"image": "none.png", "label": "x"}])
    (two[1].parent / "b22.png").write_bytes(b"junk")
    for other, words in ((two[1], "b22.png: does not decode"), (absent, "absent.csv: not one of its pictures is there")):
        assert main([str(two[0]), str(other), "--calibrate", str(tmp_path / "c.json")]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1 and words in lines[0] and not (tmp_path / "c.json").exists(), lines


def test_a_file_that_cannot_be_written_is_one_line(two, capsys):
    assert main([*map(str, two), "--no-near", "--out", str(two[0] / "pairs.csv")]) == 2  # below a file
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and "m.csv: " in lines[0] and lines[0].endswith("mend it, then try again"), lines


def test_calibration_tells_good_hashes_from_bad(two, tmp_path, capsys):
    clean = manifest(tmp_path / "b" / "clean.csv", [{"image": f"b{i}.png", "label": "x"} for i in range(20, 40)])
    assert main([str(two[0]), str(clean), "--calibrate", str(tmp_path / "c.json")]) == 0
    rows = pd.DataFrame(json.loads((tmp_path / "c.json").read_text())["rows"]).set_index(["hash", "size", "distance"])
    chosen, coarse = rows.loc["phash", 16, 32], rows.loc["ahash", 8, 12]
    assert chosen["copies_found"] > 0.7 and chosen["false_between"] == 0 and chosen["of_between"] == 400
    assert coarse["false_between"] > 0


def test_another_copy_is_another_file(eyes):
    copies = [another_copy(eyes[0], np.random.default_rng(seed)) for seed in (0, 0, 1)]
    data = [io.BytesIO(copy.tobytes()).getvalue() for copy in copies]
    assert data[0] == data[1] != data[2] and copies[0].size != eyes[0].size


@pytest.fixture
def real():
    if not os.environ.get("KEEPFIT_DATA"):
        pytest.skip("KEEPFIT_DATA is not set: no real photographs here")
    return Path(os.environ["KEEPFIT_DATA"])


@pytest.mark.real
def test_the_papers_two_odir_lists(real):
    frames = real / "authors_frames"
    a, b = Pictures(frames / "08_ODIR.csv"), Pictures(frames / "08_ODIR200x3.csv")
    pairs = leaks(a, b, progress=False)
    assert len(found(pairs, "name")) == pairs[pairs["kind"] == "name"]["what"].nunique() == 112
    assert set(pairs["kind"]) == {"name", "patient"}


@pytest.mark.real
def test_shared_photographs(real):
    a, b = Pictures(real / "csdi.csv"), Pictures(real / "retina_dataset.csv")
    pairs = leaks(a, b, progress=False)
    names, alike = ({(x, y) for x, y, _ in found(pairs, kind)} for kind in ("name", "near"))
    assert len(names) == 106 and names <= alike and len(alike) <= 108
    assert len(found(pairs, "bytes")) == 15


@pytest.mark.real
def test_sets_that_share_nothing(real):
    a, b = Pictures(real / "odir200x3.csv"), Pictures(real / "aptos_sub.csv")
    for one in (a, b):  # every second photograph: results/leaks.json has all
        one.frame, one.files = one.frame[::2].reset_index(drop=True), one.files[::2]
    assert len(a.frame) > 100 < len(b.frame) and leaks(a, b, progress=False).empty
