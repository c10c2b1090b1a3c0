"""Where pictures of a manifest may lie, what a million rows cost, headers that name a column twice."""

import hashlib
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

import keepfit_mini as kf
from keepfit_mini import manifests
from keepfit_mini.__main__ import main
from keepfit_mini.manifests import exclude_categories, fingerprint, read_manifest, read_manifests


@pytest.fixture
def place(tmp_path, monkeypatch):
    """tmp/set/m.csv and pictures inside, beside, and in tmp/set-aside, whose name begins alike."""
    monkeypatch.delenv("KEEPFIT_DATA", raising=False)
    for name in ("set/a.png", "set/deep/b.png", "outside.png", "set-aside/c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    return tmp_path


def read(place, *images, **settings):
    (place / "set" / "m.csv").write_text("image,label\n" + "".join(f"{image},x\n" for image in images))
    return read_manifest(place / "set" / "m.csv", **settings)["image"].tolist()


def refused(place, image, words, **settings):
    with pytest.raises(kf.InputError, match=rf"m.csv, row 3: picture .*{words}") as error:
        read(place, "a.png", image, **settings)
    assert "\n" not in str(error.value)


OUTSIDE = "lies outside the manifest's folder: move it there, or allow its folder with --root"


def test_pictures_lie_in_the_manifests_folder(place):
    inside = ["a.png", "./a.png", "deep/b.png", "deep/../a.png", "../set/a.png", str(place / "set" / "a.png")]
    assert all(Path(image).samefile(place / "set" / name) for image, name in zip(
        read(place, *inside), ["a.png", "a.png", "deep/b.png", "a.png", "a.png", "a.png"], strict=True))  # fmt: skip
    assert read(place, "a.png", "deep/b.png") == [str(place / "set" / "a.png"), str(place / "set" / "deep" / "b.png")]
    for image in ("../outside.png", "../set-aside/c.png", str(place / "outside.png"), "/etc/passwd", "deep/../../outside.png",
                  "../none.png"):  # fmt: skip
        refused(place, image, OUTSIDE)
    for image in ("deep", "..", ".", "none.png", "deep/none.png", "a.png/", "a\0.png", "x" * 5000, "x/" * 3000, "a.png/x"):
        refused(place, image, "is missing|lies outside")


def test_links_count_as_what_they_lead_to(place):
    (place / "set" / "in.png").symlink_to("a.png")
    (place / "set" / "out.png").symlink_to("../outside.png")
    (place / "set" / "way").symlink_to("../set-aside")
    (place / "set" / "loop.png").symlink_to("loop.png")
    (place / "set" / "nowhere.png").symlink_to("none.png")
    (place / "alias").symlink_to("set")
    assert len(read(place, "in.png", "../alias/a.png")) == 2
    assert len(read_manifest(place / "alias" / "m.csv")) == 2  # the manifest's own folder is resolved too
    for image in ("out.png", "way/c.png", "way/../outside.png"):
        refused(place, image, OUTSIDE)
    for image in ("loop.png", "nowhere.png"):
        refused(place, image, "is missing")
    os.mkfifo(place / "set" / "pipe.png")
    refused(place, "pipe.png", "is missing")  # and nobody waits for it


def test_root_and_keepfit_data_allow_more(place, monkeypatch):
    assert len(read(place, "../outside.png", "../set-aside/c.png", root=place)) == 2
    assert len(read(place, "../set-aside/c.png", root=str(place / "set-aside"))) == 1
    refused(place, "../outside.png", OUTSIDE, root=place / "set-aside")
    refused(place, "../set-aside/c.png", OUTSIDE, root=place / "set-a")
    assert len(read_manifests([place / "set" / "m.csv"] * 2, root=place)) == 4
    monkeypatch.setenv("KEEPFIT_DATA", str(place / "set-aside"))
    assert len(read(place, "../set-aside/c.png")) == 1
    refused(place, "../outside.png", OUTSIDE)
    monkeypatch.setenv("KEEPFIT_DATA", "")
    refused(place, "../set-aside/c.png", OUTSIDE)
    monkeypatch.chdir(place / "set")
    assert read_manifest("m.csv", root="../set-aside").shape[0] == 2 and read_manifest("m.csv", root="..")["image"][0] == "a.png"


def test_the_commands_take_root(run, drawn, place, capsys):
    moved, ours = place / "elsewhere", place / "kept"
    moved.mkdir()
    shutil.copytree(run, ours)  # features will lie in it
    for name in ("public", "expert", "unseen_odir"):
        text = drawn[name].read_text().replace("images/", f"{drawn[name].parent}/images/")
        (moved / f"{name}.csv").write_text(text)
    evaluate = ["evaluate", str(ours), "--dataset", str(moved / "unseen_odir.csv"), "--classes", "normal,cataract"]
    assert main(evaluate) == 2 and OUTSIDE in capsys.readouterr().err
    assert main([*evaluate, "--root", str(drawn["public"].parent)]) == 0
    probe = [*evaluate, "--protocol", "linear-probe", "--shots", "2", "--folds", "1"]
    assert main([*probe, "--root", str(drawn["public"].parent)]) == 0
    pretrain = ["pretrain", "--public", str(moved / "public.csv"), "--expert", str(moved / "expert.csv"), "--epochs", "1",
                "--image-size", "32", "--out"]  # fmt: skip
    assert main([*pretrain, str(place / "run")]) == 2 and OUTSIDE in capsys.readouterr().err
    assert main([*pretrain, str(place / "run"), "--root", str(drawn["public"].parent)]) == 0


def test_a_row_costs_one_question_to_the_disk_and_a_cell_is_parsed_once(place, monkeypatch):
    for i in range(300):
        os.link(place / "set" / "a.png", place / "set" / "deep" / f"{i}.png")
    rows = [f"deep/{i}.png,[],\"['glaucoma', 'x{i % 3}']\"\n" for i in range(300)]
    (place / "set" / "m.csv").write_text("image,atributes,categories\n" + "".join(rows))
    asked, cells = [], []
    lstat, literal_list = os.lstat, manifests.literal_list
    monkeypatch.setattr(os, "lstat", lambda path: asked.append(path) or lstat(path))
    monkeypatch.setattr(manifests, "literal_list", lambda *cell: cells.append(cell) or literal_list(*cell))
    frame = read_manifest(place / "set" / "m.csv")
    assert len(frame) == 300 and len(cells) == 4  # three of categories, one of attributes
    assert len([path for path in asked if str(path).endswith(".png")]) == 300 and len(asked) < 350
    excluded = []
    is_excluded = manifests.is_excluded
    monkeypatch.setattr(manifests, "is_excluded", lambda *cell: excluded.append(cell) or is_excluded(*cell))
    assert len(exclude_categories(frame, ["x1", "zebra"])) == 200 and len(excluded) == 6


def test_a_fingerprint_is_what_it_was(place):
    (place / "set" / "m.csv").write_text('image,label,text\na.png,x;y,It\'s "so"\ndeep/b.png,z,ä\n')
    frame = read_manifest(place / "set" / "m.csv")
    rows = list(zip(["a.png", "b.png"], [["x", "y"], ["z"]], ['It\'s "so"', "ä"], strict=True))
    assert fingerprint(frame) == hashlib.sha256(repr(rows).encode()).hexdigest()  # runs of older versions go on


def test_a_column_has_one_name(place):
    for header, name in (("image,Image,label", "image"), ("image,label, LABEL ", "label"), ("image,caption,Caption", "caption")):
        (place / "set" / "m.csv").write_text(f"{header}\na.png,a.png,x\n")
        with pytest.raises(kf.InputError, match=f"m.csv: two columns are named `{name}`: rename"):
            read_manifest(place / "set" / "m.csv")
    (place / "set" / "m.csv").write_text("image,,,label,row,file,labels\na.png,1,2,x,3,4,5\n")
    assert read_manifest(place / "set" / "m.csv")["labels"].tolist() == [["x"]]
