"""Annotations in FFA-IR's layout and its relatives -> studies; what is refused, what is left out and counted; as a manifest."""

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import keepfit_mini as kf
from keepfit_mini.manifests import read_manifest
from keepfit_mini.phantom import Finding
from keepfit_mini.studies import Studies, manifest_of, read_studies


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """tmp/set with pictures a/1.jpg a/2.jpg b/1.jpg, and outside.jpg beside it."""
    monkeypatch.delenv("KEEPFIT_DATA", raising=False)
    for name in ("set/a/1.jpg", "set/a/2.jpg", "set/b/1.jpg", "outside.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(tmp_path / name)
    return tmp_path / "set"


def case(*images, **more):
    return {"En_Report": "Leakage  in the\nmacula.", "Zh_Report": "黄斑区渗漏。", "Image_path": list(images), **more}


def write(folder, content, name="annotation.json"):
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return path


def read(folder, content, **settings):
    return read_studies(write(folder, content), **settings)


def refused(folder, content, words, **settings):
    with pytest.raises(kf.InputError, match=rf"annotation.json: .*{words}") as error:
        read(folder, content, **settings)
    assert "\n" not in str(error.value)


def test_the_layout_of_ffa_ir(folder):
    found = read(folder, {"train": {"a": case("a/1.jpg", "a/2.jpg")}, "val": {}, "test": {"b": case("b/1.jpg")}})
    assert isinstance(found, Studies) and found.left_out == found.left_out_views == []
    assert [(s.id, s.split, s.findings, s.phases) for s in found] == [("a", "train", (), ()), ("b", "test", (), ())]
    assert found[0].images == (folder / "a/1.jpg", folder / "a/2.jpg")
    assert (found[0].report, found[0].report_zh) == ("Leakage in the macula.", "黄斑区渗漏。")


def test_its_relatives(folder):
    """R2Gen's list of cases, other spellings, lists as strings, the pictures elsewhere: the same studies."""
    plain = read(folder, {"train": {"a": case("a/1.jpg", "a/2.jpg")}})
    r2gen = [{"id": "a", "report": "Leakage in the macula.", "Ch_Report": "黄斑区渗漏。", "image_path": ["a/1.jpg", "a/2.jpg"]}]
    for content in (
        {"train": r2gen},
        {"Train": {"a": {"en_report": "Leakage in the macula.", "CH_REPORT": "黄斑区渗漏。",
                         "Image_path": "['a/1.jpg', 'a/2.jpg']"}}},
        {"train": {"a": case() | {"Image_path": '["a/1.jpg", "a/2.jpg"]'}}, "about": "nothing"},
        {"train": [case("a/1.jpg", "a/2.jpg", id="a")]},
    ):  # fmt: skip
        assert read(folder, content) == plain
    single = read(folder, {"valid": [{"id": 7, "report": "x", "image_path": "b/1.jpg"}]})
    assert [(s.id, s.split, s.report_zh, len(s.images)) for s in single] == [("7", "val", "", 1)]
    (folder / "images").mkdir()
    for name in ("a", "b"):
        (folder / name).rename(folder / "images" / name)
    assert read(folder, {"train": {"a": case("a/1.jpg")}})[0].images == (folder / "images/a/1.jpg",)
    moved = write(folder.parent, {"train": {"a": case("1.jpg")}})
    assert read_studies(moved, folder / "images/a")[0].images == (folder / "images/a/1.jpg",)
    assert read_studies(write(folder, "\ufeff" + json.dumps({"train": {"a": case("b/1.jpg")}})))[0].id == "a"


def test_what_drawn_studies_add(folder):
    truth = [{"name": "leakage", "severity": "mild", "place": "macula"}]
    found = read(folder, {"train": {"a": case("a/1.jpg", "a/2.jpg", Findings=truth, Phases=["early", "late"])}})
    assert found[0].findings == (Finding("leakage", "mild", "macula"),) and found[0].phases == ("early", "late")
    assert read(folder, {"train": {"a": case("a/1.jpg", Findings="as the report says")}})[0].findings == ()
    refused(folder, {"train": {"a": case("a/1.jpg", Findings=[{"name": "x"}])}}, "case 'a': each of its Findings needs")
    refused(folder, {"train": {"a": case("a/1.jpg", Phases=["early", "late"])}}, "case 'a': 1 pictures, but 2 Phases")


def test_no_annotation(folder):
    with pytest.raises(kf.InputError, match="none.json: no such annotation: give"):
        read_studies(folder / "none.json")
    refused(folder, "{", "not JSON in UTF-8 .*: save it")
    refused(folder, "[" * 100_000, "not JSON in UTF-8")
    (folder / "annotation.json").write_bytes(b"\xff\xfe")
    with pytest.raises(kf.InputError, match="not JSON in UTF-8"):
        read_studies(folder / "annotation.json")
    for content in ([], {}, {"a": case("a/1.jpg")}, "1", "null"):
        refused(folder, content, "no split: an annotation is")
    refused(folder, {"train": {}, "test": []}, "holds no case: add")
    refused(folder, {"train": 3}, "split 'train' is no object by case")
    refused(folder, {"train": {"a": []}}, "case 'a': in 'train' it is no object")
    refused(folder, {"train": [case("a/1.jpg", id="a"), case("b/1.jpg")]}, "case '2': in 'train' it has no id")
    with pytest.raises(kf.InputError, match="missing 'ignore' must be refuse or drop"):
        read(folder, {"train": {"a": case("a/1.jpg")}}, missing="ignore")
    with pytest.raises(kf.InputError, match="nowhere: no such folder of pictures: give"):
        read(folder, {"train": {"a": case("a/1.jpg")}}, images=folder / "nowhere")


def test_a_case_stands_once(folder):
    """JSON lets a key stand twice, and the reader would keep the second; a study in two splits would leak."""
    refused(folder, '{"train": {"a": {}, "b": {}, "a": {}}}', "'a' stands twice in one object: rename")
    refused(folder, {"train": {"a": case("a/1.jpg")}, "test": {"a": case("b/1.jpg")}}, "case 'a': stands twice: a study belongs")
    refused(folder, {"train": [case("a/1.jpg", id=1), case("b/1.jpg", id="1")]}, "case '1': stands twice")


@pytest.mark.parametrize("value", [[], [""], "", "[]", None])
def test_a_study_without_an_image_is_refused(folder, value):
    refused(folder, {"train": {"a": case() | {"Image_path": value}}}, "case 'a': no image: give it an Image_path or delete it")


@pytest.mark.parametrize("value", [[1], {"1": "a/1.jpg"}, 5, "[1, 2]", "[__import__('os').getcwd()]", "['a/1.jpg'", "[" * 9999])
def test_a_list_that_is_none_is_refused_and_never_run(folder, value):
    refused(folder, {"train": {"a": case() | {"Image_path": value}}}, "case 'a': .* is not a list")


def test_a_missing_or_broken_view(folder, capsys):
    (folder / "a/broken.jpg").write_bytes(b"no picture")
    content = {"train": {"a": case("a/1.jpg", "a/none.jpg", "a/broken.jpg", Phases=["x", "y", "z"]), "b": case("b/none.jpg")},
               "test": {"c": case("a/2.jpg")}}  # fmt: skip
    refused(folder, content, "case 'a': picture a/none.jpg is missing, looked for in .*set: mend it, name .*--missing drop")
    refused(folder, {"train": {"a": case("a/broken.jpg")}}, "case 'a': picture a/broken.jpg does not decode")
    for name in ("a", "a\0b.jpg", "x" * 5000, "x/" * 3000, "a/1.jpg/x"):
        refused(folder, {"train": {"a": case(name)}}, "is missing")
    found = read(folder, content, missing="drop")
    assert [(s.id, [p.name for p in s.images], s.phases) for s in found] == [("a", ["1.jpg"], ("x",)), ("c", ["2.jpg"], ())]
    assert [i for i, _ in found.left_out_views] == ["a", "a", "b"]
    assert "a/broken.jpg does not decode" in found.left_out_views[1][1]
    assert found.left_out == [("b", "none of its 1 pictures can be used")]
    error = capsys.readouterr().err
    assert "passed over: study 'b': none of its 1" in error and "annotation.json: 1 studies" in error and "3 pictures" in error
    refused(folder, {"train": {"a": case("none.jpg")}}, "no study is left", missing="drop")


def test_a_picture_that_is_cut_off_is_found_by_drop_alone(folder):
    Image.effect_noise((64, 64), 80).save(folder / "a/cut.jpg")
    (folder / "a/cut.jpg").write_bytes((folder / "a/cut.jpg").read_bytes()[:1500])
    content = {"train": {"a": case("a/1.jpg", "a/cut.jpg"), "b": case("a/cut.jpg")}}
    assert [len(s.images) for s in read(folder, content)] == [2, 1]  # of which the header alone is read
    found = read(folder, content, missing="drop")
    assert [(s.id, len(s.images)) for s in found] == [("a", 1)] and len(found.left_out_views) == 2
    assert "a/cut.jpg does not decode (image file is truncated" in found.left_out_views[0][1]


def test_of_one_split_the_others_are_not_looked_at(folder):
    content = {"train": {"a": case("none.jpg"), "b": case() | {"Image_path": []}}, "val": {}, "test": {"c": case("a/1.jpg")}}
    refused(folder, content, "case 'b': no image")
    assert [s.id for s in read(folder, content, split="test")] == ["c"]
    refused(folder, content, "has no study of the val split: give --split another", split="val")
    refused(folder, content, "case 'b': no image", split="train")
    with pytest.raises(kf.InputError, match="split 'dev' must be train, val, test or None"):
        read(folder, content, split="dev")


@pytest.mark.parametrize("missing", ["refuse", "drop"])
def test_a_picture_that_leaves_the_folder_is_always_refused(folder, missing, monkeypatch):
    (folder / "link.jpg").symlink_to("../outside.jpg")
    outside = str(folder.parent / "outside.jpg")
    for name in ("../outside.jpg", "a/../../outside.jpg", outside, "/etc/passwd", "link.jpg", "../none.jpg"):
        content = {"train": {"a": case("a/1.jpg", name)}}
        refused(folder, content, "case 'a': picture .*leaves the folder of pictures", missing=missing)
    assert len(read(folder, {"train": {"a": case("a/../b/1.jpg", str(folder / "a/1.jpg"))}}, missing=missing)[0].images) == 2
    (folder / "loop.jpg").symlink_to("loop.jpg")
    os.mkfifo(folder / "pipe.jpg")
    for name in ("loop.jpg", "pipe.jpg"):  # and nobody waits for the pipe
        refused(folder, {"train": {"a": case(name)}}, "is missing")
    monkeypatch.setenv("KEEPFIT_DATA", str(folder.parent))
    assert len(read(folder, {"train": {"a": case("../outside.jpg")}}, missing=missing)) == 1


def test_an_empty_report_is_named_left_out_and_counted(folder, capsys):
    content = {"train": {"a": case("a/1.jpg", En_Report=" \n"), "b": case("b/1.jpg", Zh_Report=None), "c": case("a/2.jpg")}}
    found = read(folder, content)
    assert [s.id for s in found] == ["b", "c"] and found.left_out == [("a", "its report (en) has no word")]
    assert "passed over: study 'a': its report (en) has no word" in capsys.readouterr().err
    chinese = read(folder, content, language="zh")
    assert [s.id for s in chinese] == ["a", "c"] and chinese.left_out == [("b", "its report (zh) has no word")]
    refused(folder, {"train": {"a": case("a/1.jpg", En_Report="")}}, "no study is left")
    for report in (5, ["x"], {}):
        refused(folder, {"train": {"a": case("a/1.jpg", En_Report=report)}}, "case 'a': its report is no text")
    capsys.readouterr()
    many = {"train": {str(i): case("a/1.jpg", En_Report="") for i in range(40)} | {"last": case("b/1.jpg")}}
    assert len(read(folder, many).left_out) == 40
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 6 and "study '4'" in lines[4] and lines[5].endswith("40 studies")
    half = '{"train": {"a": {"report": "half \\ud800 a letter", "images": "a/1.jpg"}}}'
    assert read(folder, half)[0].report == "half ? a letter"


def test_as_a_manifest(folder):
    studies = read(folder, {"train": {"a": case("a/1.jpg", "a/2.jpg")}, "test": {"b": case("b/1.jpg", Zh_Report="")}})
    frame = manifest_of(studies)
    assert frame.columns.tolist() == ["image", "modality", "label", "text", "text_zh", "source", "split", "study"]
    assert frame["study"].tolist() == ["a", "a", "b"] and frame["split"].tolist() == ["train", "train", "test"]
    assert set(frame["text"]) == {"Leakage in the macula."} and (frame["label"] == "").all()
    assert (frame["modality"] == "FFA").all() and manifest_of(studies[:1], "zh")["text"].tolist() == ["黄斑区渗漏。"] * 2
    frame.to_csv(folder / "m.csv", index=False)
    again = read_manifest(folder / "m.csv", need="text")
    assert again["image"].tolist() == [str(folder / name) for name in ("a/1.jpg", "a/2.jpg", "b/1.jpg")]
    with pytest.raises(kf.InputError, match="study 'b' has no report in 'zh'"):
        manifest_of(studies, "zh")
    with pytest.raises(kf.InputError, match="language 'fr' must be en or zh"):
        manifest_of(studies, "fr")
    assert len(manifest_of([])) == 0


KEYS = ("train", "test", "a", "id", "En_Report", "report", "Image_path", "Findings", "Phases")
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("a/1.jpg")
json_values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4), max_leaves=20
)


@settings(max_examples=200, deadline=None)
@given(json_values | st.builds(lambda member: {"train": {"a": member}}, json_values))
def test_anything_is_read_or_refused_in_one_line(tmp_path_factory, content):
    folder = tmp_path_factory.getbasetemp() / "anything"
    (folder / "a").mkdir(parents=True, exist_ok=True)
    if not (folder / "a/1.jpg").exists():
        Image.new("L", (4, 4)).save(folder / "a/1.jpg")
    try:
        assert all(s.images and s.report for s in read_studies(write(folder, json.dumps(content)), missing="drop"))
    except kf.InputError as error:
        assert "annotation.json" in str(error) and "\n" not in str(error)


def test_other_splits_and_reports_without_a_word_are_named(tmp_path, capsys):
    Image.new("L", (20, 20)).save(tmp_path / "1.jpg")
    case = {"En_Report": "Leakage.", "Image_path": ["1.jpg"]}
    annotation = {"train": {"a": case, "b": {**case, "En_Report": "... ,"}}, "extra": {"c": case}}
    (tmp_path / "annotation.json").write_text(json.dumps(annotation))
    found = read_studies(tmp_path / "annotation.json")
    assert [study.id for study in found] == ["a"] and found.left_out == [("b", "its report (en) has no word")]
    assert "passed over: 'extra'" in capsys.readouterr().err
