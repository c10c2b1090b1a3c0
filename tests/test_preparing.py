"""Preparing: what is the disc, names that collide, a run that broke off, tables that name what is not there."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw

import keepfit_mini as kf
from keepfit_mini import preparing
from keepfit_mini.preparing import Settings, load, prepare, prepared, retina_box, targets

sys.path.insert(0, str(Path(__file__).parents[1] / "data_scripts"))
from prepare import main  # noqa: E402


def photograph(width=300, height=200, disc=(90, 40, 210, 160), border=4, noise=5, light=(180, 80, 30), writing=""):
    """A disc with a vessel on a dark, noisy border."""
    picture = Image.new("RGB", (width, height), (border,) * 3)
    draw = ImageDraw.Draw(picture)
    draw.ellipse((disc[0], disc[1], disc[2] - 1, disc[3] - 1), fill=light)
    draw.line((disc[0] + 30, disc[1] + 30, disc[2] - 30, disc[3] - 30), fill=tuple(c // 2 for c in light), width=5)
    draw.text((3, 3), writing, fill="white")
    values = np.asarray(picture).astype(int) + np.random.default_rng(0).integers(0, noise + 1, (height, width, 3))
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def near(box, wanted, by):
    return all(abs(a - b) <= by for a, b in zip(box, wanted, strict=True))


def test_the_disc_is_found_without_its_border():
    disc = (90, 40, 210, 160)
    for settings in ({}, {"border": 0, "noise": 0}, {"border": 20}, {"light": (40, 12, 8)}, {"writing": "OD 2019 / 17"},
                     {"light": (90, 90, 90)}):  # fmt: skip
        assert near(retina_box(photograph(**settings)), disc, 3), settings
    large = photograph(3000, 2000, (700, 300, 2300, 1900), writing="OD")
    assert near(retina_box(large), (700, 300, 2300, 1900), 30)
    cut = (60, -20, 240, 220)  # a disc cut off above and below
    assert near(retina_box(photograph(disc=cut)), (60, 0, 240, 200), 3)


def test_where_no_disc_is_seen_the_picture_stays_whole():
    whole = (0, 0, 120, 80)
    grey = np.random.default_rng(1).integers(100, 200, (80, 120, 3), dtype=np.uint8)
    for picture in (Image.fromarray(grey), Image.new("RGB", (120, 80)), Image.new("RGB", (120, 80), "white"),
                    photograph(120, 80, (50, 30, 70, 50))):  # fmt: skip
        assert retina_box(picture) == whole
    assert retina_box(Image.new("RGB", (1, 1))) == (0, 0, 1, 1)


def test_the_shorter_side_is_the_size_and_the_aspect_stays(tmp_path):
    for name, picture in (("a.jpg", photograph(2400, 1600, (700, 300, 1700, 1300))), ("b.png", photograph()),
                          ("c.jpg", photograph(disc=(60, -20, 240, 220)))):  # fmt: skip
        picture.save(tmp_path / name, quality=95)
    for name in ("a.jpg", "b.png"):
        width, height = prepared(tmp_path / name, Settings(size=64)).size
        assert min(width, height) == 64 and max(width, height) <= 66
    assert near(prepared(tmp_path / "c.jpg", Settings(size=64)).size, (58, 64), 8)
    assert prepared(tmp_path / "b.png", Settings(size=64, crop=False)).size == (96, 64)
    small = prepared(tmp_path / "a.jpg", Settings(size=100))  # decoded at a fraction, and still the same picture
    slow = load(tmp_path / "a.jpg").crop((700, 300, 1700, 1300)).resize(small.size, Image.Resampling.LANCZOS)
    assert np.abs(np.asarray(small).astype(int) - np.asarray(slow)).mean() < 6
    turned = photograph(300, 200)
    exif = Image.Exif()
    exif[0x112] = 6
    turned.save(tmp_path / "d.jpg", exif=exif)
    assert prepared(tmp_path / "d.jpg", Settings(size=64, crop=False)).size == (64, 96)


def originals(folder, names):
    for i, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        photograph(light=(100 + i, 80, 30)).save(folder / name)
    return folder


def rows(out):
    return pd.read_csv(out / "manifest.csv", keep_default_na=False).to_dict("records")


def test_folders_become_labels_and_names_do_not_collide(tmp_path):
    names = ["normal/1.png", "glaucoma/1.png", "train/glaucoma/1.PNG", "test/2.png", "normal/1.jpg", "normal/3.tif"]
    source, out = originals(tmp_path / "in", names), tmp_path / "out"
    done = prepare(source, out, Settings(size=32), progress=False)
    assert done == {"made": 6, "kept": 0, "bad": 0, "rows": 6}
    found = {(row["label"], row["split"], row["orig_name"]) for row in rows(out)}
    assert found == {("normal", "", "1.png"), ("glaucoma", "", "1.png"), ("glaucoma", "train", "1.PNG"), ("", "test", "2.png"),
                     ("normal", "", "1.jpg"), ("normal", "", "3.tif")}  # fmt: skip
    frame = kf.read_manifest(out / "manifest.csv")
    assert frame["image"].nunique() == 6 and all(min(Image.open(image).size) == 32 for image in frame["image"])
    assert all(Image.open(image).format == "JPEG" for image in frame["image"])
    assert {row["source"] for row in rows(out)} == {"in"}
    inside = prepare(source, source / "out", Settings(size=32), progress=False)
    assert inside["rows"] == prepare(source, source / "out", Settings(size=32), progress=False)["kept"] == 6  # not its own


def test_targets_differ_on_any_file_system():
    names = ["a/1.png", "a/1.jpg", "A/1.tif", "b/1.png", "a/1.png.jpg"]
    found = targets(names)
    assert len({one.lower() for one in found}) == 5 and found[3] == "b/1.jpg" and all(one.endswith(".jpg") for one in found)


def test_a_second_run_makes_only_what_is_missing_or_wrong(tmp_path, monkeypatch):
    source, out = originals(tmp_path / "in", [f"x/{i}.png" for i in range(6)]), tmp_path / "out"
    real = preparing.prepare_one

    def breaks(job, settings):
        if Path(job[0]).name == "4.png":
            raise KeyboardInterrupt
        return real(job, settings)

    monkeypatch.setattr(preparing, "prepare_one", breaks)
    with pytest.raises(KeyboardInterrupt):
        prepare(source, out, Settings(size=32), progress=False)
    assert not (out / "manifest.csv").exists() and len(list(out.rglob("*.jpg"))) == 4
    monkeypatch.undo()
    done = prepare(source, out, Settings(size=32), progress=False)
    assert (done["made"], done["kept"]) == (2, 4)
    (out / "pictures" / "x" / "1.jpg").write_bytes((out / "pictures" / "x" / "1.jpg").read_bytes()[:50])
    (out / "pictures" / "x" / "2.jpg").unlink()
    photograph(light=(9, 99, 200)).save(source / "x" / "3.png")
    done = prepare(source, out, Settings(size=32), progress=False)
    assert (done["made"], done["kept"]) == (3, 3)
    assert prepare(source, out, Settings(size=40), progress=False)["made"] == 6
    assert not list(out.rglob("*.part"))


def test_several_processes_make_the_same(tmp_path, capsys):
    source = originals(tmp_path / "in", [f"x/{i}.png" for i in range(9)])
    (source / "x" / "bad.png").write_bytes(b"")
    command = [str(source), "--size", "32", "--max-bad", "0.2"]
    for workers in ("1", "2"):
        assert main([*command, "--out", str(tmp_path / workers), "--workers", workers]) == 0
        said = capsys.readouterr()
        assert "9 pictures made, 0 kept, 1 passed over" in said.out and "bad.png does not decode" in said.err
    for one in (tmp_path / "1").rglob("*"):
        if one.is_file():
            assert one.read_bytes() == (tmp_path / "2" / one.relative_to(tmp_path / "1")).read_bytes()


def test_a_table_names_the_pictures(tmp_path, capsys):
    source, out = originals(tmp_path / "in", ["train/a1.png", "train/b2.png", "test/b2.png", "c3.jpeg"]), tmp_path / "out"
    table = tmp_path / "t.csv"
    command = [str(source), "--out", str(out), "--csv", str(table), "--size", "32", "--workers", "1",
               "--image-column", "ID", "--label-column", "grade", "--text-column", "say", "--patient-column", "who"]  # fmt: skip
    table.write_text("ID,grade,say,who\na1,2,\"a disc, pale\",7\nTRAIN/b2.png,0,,8\ntest\\b2.png,1,,8\nc3.jpeg,3;4,,\n")
    assert main(command) == 0
    assert [(r["label"], r["text"], r["patient"], r["split"], r["orig_name"]) for r in rows(out)] == [
        ("2", "a disc, pale", "7", "train", "a1.png"), ("0", "", "8", "train", "b2.png"), ("1", "", "8", "test", "b2.png"),
        ("3;4", "", "", "", "c3.jpeg")]  # fmt: skip
    before = (out / "manifest.csv").read_text()
    bad = {
        "ID,grade,say,who\na1,2,,\nnone,2,,\n": "t.csv, row 3: picture 'none' is missing in",
        "ID,grade,say,who\n../in/c3.jpeg,2,,\n../../etc/passwd,1,,\n": "t.csv, row 3: picture '../../etc/passwd' is missing",
        "ID,grade,say,who\na1,2,,\nc3,1,,\na1,3,,\n": "t.csv, row 4: picture a1 stands in row 2 already.*--merge",
        "ID,grade,say,who\nb2,2,,\n": "t.csv, row 2: 'b2' may be test/b2.png or train/b2.png: give the path",
        "ID,grade,say,who\n,2,,\n": "t.csv, row 2: picture '' is missing",
        "ID,say,who\na1,,\n": "no column `grade` .found: ID, say, who.: give --label-column",
        "ID,grade,say,who\n": "no rows under it",
        "": "t.csv: not a CSV",
    }
    capsys.readouterr()
    for text, words in bad.items():
        table.write_text(text)
        assert main(command) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1 and pd.Series(lines).str.contains(words).all(), (words, lines)
    assert (out / "manifest.csv").read_text() == before
    table.write_text("ID,grade,say,who\na1,2,,\nc3,1,,\na1,3,,\na1,2,,\n")
    assert main([*command, "--merge"]) == 0 and [row["label"] for row in rows(out)] == ["2;3", "1"]


def test_pictures_that_do_not_decode(tmp_path, capsys):
    source, out = originals(tmp_path / "in", [f"x/{i}.png" for i in range(20)]), tmp_path / "out"
    (source / "x" / "zero.jpg").write_bytes(b"")
    (source / "x" / "half.png").write_bytes((source / "x" / "3.png").read_bytes()[:2000])
    (source / "x" / "note.txt").write_text("no picture")
    command = [str(source), "--out", str(out), "--size", "32", "--workers", "1"]
    assert main(command) == 2
    assert "of 22 rows (1.0% are allowed)" in capsys.readouterr().err.splitlines()[-1] and not (out / "manifest.csv").exists()
    assert main([*command, "--max-bad", "0.1"]) == 0
    said = capsys.readouterr()
    assert "zero.jpg does not decode" in said.err and "half.png does not decode" in said.err
    assert "2 passed over" in said.out and len(rows(out)) == 20


def test_refusals(tmp_path, capsys):
    source = originals(tmp_path / "in", ["1.png"])
    (tmp_path / "empty").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    (tmp_path / "junk").mkdir()
    (tmp_path / "junk" / "1.png").write_bytes(b"junk")
    for arguments, words in (
        (["--out", "x"], "give the folder"),
        ([str(source)], "give the folder"),
        ([str(tmp_path / "none"), "--out", str(tmp_path / "out")], "none: no such folder"),
        ([str(tmp_path / "empty"), "--out", str(tmp_path / "out")], "empty: holds no picture"),
        ([str(source), "--out", str(tmp_path / "mine")], "mine: is not a folder that this made"),
        ([str(source), "--out", str(source)], "not a folder that this made"),
        ([str(source), "--out", str(tmp_path / "out"), "--size", "0"], "16 to 8192"),
        ([str(source), "--out", str(tmp_path / "out"), "--label-column", "x"], "give --csv"),
        ([str(source), "--out", str(tmp_path / "out"), "--csv", str(tmp_path / "no.csv")], "no.csv: no such CSV"),
        ([str(tmp_path / "junk"), "--out", str(tmp_path / "out"), "--max-bad", "1"], "not one picture decodes"),
        ([str(source), "--out", str(tmp_path / "out"), "--workers", "0"], "1 process or more"),
    ):
        assert main([*arguments, *([] if "--workers" in arguments else ["--workers", "1"])]) == 2, arguments
        last = capsys.readouterr().err.splitlines()[-1]
        assert words in last, last
        assert not (tmp_path / "out" / "manifest.csv").exists()
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def content(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_originals_in_pictures_are_never_overwritten(tmp_path, capsys):
    for name in ("set/pictures/1.png", "set/pictures/deep/2.png", "set/pictures/3.jpg", "set/pictures/pictures/3.jpg"):
        originals(tmp_path, [name])
    whole, before = tmp_path / "set", content(tmp_path)
    for source, out, words in (
        (whole / "pictures", whole, "set: the originals lie in its pictures/"),
        (whole / "pictures" / "deep", whole, "set: the originals lie in its pictures/"),
        (tmp_path, whole, "set/pictures: the pictures there are not of this program's making"),
        (whole, whole / "pictures", "pictures/pictures: the pictures there are not of this program's making"),
    ):
        assert main([str(source), "--out", str(out), "--size", "32", "--workers", "1"]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1 and words in lines[0], lines
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "pictures").symlink_to(whole / "pictures")
    with pytest.raises(kf.InputError, match="would be overwritten"):
        prepare(whole / "pictures", tmp_path / "link", Settings(size=32), progress=False)
    assert content(whole) == {path: data for path, data in before.items() if path.is_relative_to(whole)}


def test_a_run_inside_its_source_that_broke_off_is_gone_on_with(tmp_path):
    source = originals(tmp_path / "in", ["x/1.png", "x/2.png"])
    prepare(source, source / "out", Settings(size=32), progress=False)
    (source / "out" / "manifest.csv").unlink()
    (source / "out" / "pictures" / "x" / "1.jpg").write_bytes(b"")
    done = prepare(source, source / "out", Settings(size=32), progress=False)
    assert done == {"made": 1, "kept": 1, "bad": 0, "rows": 2}


def test_a_strip_that_would_grow_absurdly_is_passed_over(tmp_path, capsys):
    source = originals(tmp_path / "in", ["1.png"])
    Image.new("RGB", (30_000, 10), "white").save(source / "strip.png")
    Image.new("RGB", (64, 2_000), "white").save(source / "many.png")
    for name, size, words in (("strip.png", 512, "1536000 x 512"), ("many.png", 2048, "2048 x 64000")):
        with pytest.raises(ValueError, match=f"too narrow: .* it would be {words}"):
            prepared(source / name, Settings(size=size))  # a side too long, or too many pixels
    assert main([str(source), "--out", str(tmp_path / "out"), "--workers", "1", "--max-bad", "0.5"]) == 0
    assert "strip.png does not decode (too narrow" in capsys.readouterr().err
    assert [row["orig_name"] for row in rows(tmp_path / "out")] == ["1.png", "many.png"]


def test_speed_is_measured(tmp_path, capfd):
    report = tmp_path / "speed.json"
    assert main(["--measure", "3", "--workers", "1", "--report", str(report)]) == 0
    (row,) = json.loads(report.read_text())["rows"]
    assert row["pictures"] == 3 and row["pictures_per_second"] > 0 and row["peak_mb_all_processes"] > 50
    assert 0 <= row["cores_busy_with_others"] + 0.1 <= os.cpu_count() + 0.2  # clock ticks are coarse


def test_ctrl_c_is_one_line(monkeypatch, capsys, tmp_path):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setitem(main.__wrapped__.__globals__, "prepare", stopped)
    assert main([str(tmp_path), "--out", str(tmp_path / "out")]) == 130 and capsys.readouterr().err == "stopped\n"


@pytest.mark.real
def test_real_photographs_lose_a_border_put_around_them(tmp_path):
    if not os.environ.get("KEEPFIT_DATA"):
        pytest.skip("KEEPFIT_DATA is not set: no real photographs here")
    chance = np.random.default_rng(0)
    for name in ("odir200x3", "aptos_sub"):
        for path in sorted((Path(os.environ["KEEPFIT_DATA"]) / name).glob("*.jpg"))[:40]:
            picture = load(path).resize((600, 600))
            around = Image.fromarray(chance.integers(0, 8, (800, 1000, 3), dtype=np.uint8))
            around.paste(picture, (200, 80))
            ImageDraw.Draw(around).text((10, 10), "OD 17", fill="white")
            left, top, right, bottom = retina_box(picture)
            assert (right - left) * (bottom - top) > 0.85 * 600 * 600  # they are cropped already
            assert near(retina_box(around), (left + 200, top + 80, right + 200, bottom + 80), 8), path.name
