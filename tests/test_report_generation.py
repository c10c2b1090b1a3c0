"""Pictures to reports: the model, its training, its commands, and what they refuse; how good they are is measured elsewhere."""

import csv
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.data_loader import prepare_data_loader
from PIL import Image

from keepfit_mini import report_training
from keepfit_mini.__main__ import main
from keepfit_mini.config import PRESETS, InputError
from keepfit_mini.drawn_studies import draw_studies
from keepfit_mini.model import KeepFIT
from keepfit_mini.report_files import by_number, studies_named
from keepfit_mini.report_generation import ReportConfig, ReportModel, chosen_views, write_reports
from keepfit_mini.report_training import ReportTraining, StudyReports, collate, losses_of, shuffled, train_reports
from keepfit_mini.report_vocabulary import Vocabulary, tokens
from keepfit_mini.studies import manifest_of, read_studies
from keepfit_mini.trainer import pretrain

SMALL = ReportConfig(dim=32, heads=2, layers=1, limit=40)
QUICK = ReportTraining(epochs=2, batch_size=8, lr=3e-3)
MODEL = dataclasses.replace(PRESETS["mini"][0], image_size=32)


@pytest.fixture(scope="module")
def drawn_studies(tmp_path_factory):
    return draw_studies(tmp_path_factory.mktemp("studies"), studies=60, size=32, seed=4, progress=False)


@pytest.fixture(scope="module")
def studies(drawn_studies):
    return read_studies(drawn_studies["annotation"])


@pytest.fixture(scope="module")
def trained(studies, tmp_path_factory):
    """(model, its run folder)."""
    out = tmp_path_factory.mktemp("runs") / "reports"
    return train_reports(studies, out, model_config=MODEL, config=SMALL, training=QUICK, progress=False), out


@pytest.fixture
def model(studies):
    torch.manual_seed(0)
    return ReportModel(SMALL, MODEL, Vocabulary.learn([study.report for study in studies]))


def test_the_run_folder(trained):
    model, out = trained
    assert {path.name for path in out.iterdir()} == {"config.json", "vocabulary.json", "metrics.jsonl", "model.safetensors"}
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [0, 1] and lines[1]["val_loss"] < lines[0]["val_loss"]
    settings = json.loads((out / "config.json").read_text())
    assert settings["reports_cut"]["train"] > settings["reports_cut"]["val"] > 0 and lines[1]["tag_loss"] < lines[0]["tag_loss"]
    assert settings["report"]["dim"] == 32 and settings["training"]["epochs"] == 2 and "torch" in settings["versions"]
    assert not list(out.parent.glob(".*"))


def test_the_same_seed_gives_the_same_weights(studies, trained, tmp_path):
    again = train_reports(studies, tmp_path / "b", model_config=MODEL, config=SMALL, training=QUICK, progress=False)
    for (name, a), b in zip(trained[0].state_dict().items(), again.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, msg=name)


def test_saved_and_loaded_it_writes_the_same(trained, studies):
    images = [study.images for study in studies[:3]]
    assert write_reports(ReportModel.load(trained[1]), images, progress=False)[0] == write_reports(
        trained[0], images, progress=False
    )[0]


def test_a_study_is_written_alike_alone_and_in_company(trained, studies):
    """Another number of views beside it changes nothing."""
    three, one = list(studies[0].images), list(studies[1].images[:1])
    together, how = write_reports(trained[0], [three, one], progress=False)
    alone = [write_reports(trained[0], [images], progress=False) for images in (three, one)]
    assert together == [texts[0] for texts, _ in alone]
    assert how[1].log_likelihood == pytest.approx(alone[1][1][0].log_likelihood, abs=1e-3)


@pytest.mark.parametrize("joined", ["apart", "mean"])
def test_shapes_and_joining(studies, joined):
    config = dataclasses.replace(SMALL, joined=joined)
    model = ReportModel(config, MODEL, Vocabulary.learn([study.report for study in studies])).eval()
    pixels = torch.rand(5, 3, 32, 32)
    memory, seen = model.encode(pixels, [3, 2])
    places = model.patches * (3 if joined == "apart" else 1)
    assert memory.shape == (2, places, 32) and seen.shape == (2, places)
    swapped, _ = model.encode(pixels[[2, 1, 0, 3, 4]], [3, 2])
    assert torch.allclose(memory[0], swapped[0], atol=1e-5) == (joined == "mean")  # a mean forgets the order in time
    torch.testing.assert_close(memory[1], swapped[1])


@pytest.mark.parametrize("joined", ["apart", "mean"])
def test_all_joins_learn_and_more_views_than_places_are_refused(studies, joined, tmp_path):
    config = dataclasses.replace(SMALL, joined=joined, views=3)
    model = train_reports(studies, tmp_path / "run", model_config=MODEL, config=config, training=QUICK, progress=False)
    logits, tag_logits = model(torch.rand(5, 3, 32, 32), [3, 2], torch.ones(2, 4, dtype=torch.long))
    assert logits.shape == (2, 4, len(model.vocabulary)) and tag_logits.shape == (2, 50)
    with pytest.raises(InputError, match="4 views of one study, but the model takes 3"):
        model.encode(torch.rand(4, 3, 32, 32), [4])


def test_val_is_the_mean_over_words_and_chooses_the_epoch(studies, monkeypatch, tmp_path):
    model = ReportModel(SMALL, MODEL, Vocabulary.learn([study.report for study in studies])).eval()
    texts = [study.report for study in studies]
    batches = [collate([StudyReports(studies, texts, model, 0)[i] for i in numbers]) for numbers in ([0], [1, 2, 3, 4])]
    with torch.no_grad():
        each = [losses_of(model, batch)[0] for batch in batches]
    counts = [(batch["words"][:, 1:] != 0).sum() for batch in batches]
    found, _ = report_training.mean_losses(model, batches, Accelerator())
    assert found == pytest.approx(float(sum(a * n for a, n in zip(each, counts, strict=True)) / sum(counts)), rel=1e-5)

    values, kept = iter([3.0, 1.0, 2.0]), []

    def said(model, *_):
        kept.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return next(values), 0.0

    monkeypatch.setattr(report_training, "mean_losses", said)
    quick = dataclasses.replace(QUICK, epochs=3)
    best = train_reports(studies, tmp_path / "run", model_config=MODEL, config=SMALL, training=quick, progress=False)
    for name, tensor in best.state_dict().items():
        torch.testing.assert_close(tensor, kept[1][name])
    assert any(not torch.equal(tensor, kept[2][name]) for name, tensor in kept[1].items())


def test_padding_is_no_target(model, studies):
    batch = collate([StudyReports(studies[:2], ["Leakage."] * 2, model, 0)[0]])
    longer = {**batch, "words": torch.cat([batch["words"], torch.zeros(1, 5, dtype=torch.long)], 1)}
    model.eval()
    torch.testing.assert_close(losses_of(model, batch), losses_of(model, longer))


def test_the_encoder_is_taken_over_and_learns(studies, drawn_studies, tmp_path):
    """FFA pretraining on reports with the same trainer, then the reports from its image encoder."""
    manifest = drawn_studies["annotation"].parent / "public.csv"
    manifest_of([study for study in studies if study.split == "train"]).to_csv(manifest, index=False)
    config = dataclasses.replace(PRESETS["mini"][1], epochs=1, targets="identity", public_texts="reports")
    keepfit = pretrain(MODEL, config, manifest, drawn_studies["expert"], tmp_path / "pre", progress=False)
    first = json.loads((tmp_path / "pre" / "metrics.jsonl").read_text().splitlines()[0])
    assert isinstance(keepfit, KeepFIT) and first["expert"] > 0
    frozen = dataclasses.replace(QUICK, visual_lr=1e-12, epochs=1)
    model = train_reports(studies, tmp_path / "a", keepfit, config=SMALL, training=frozen, progress=False)
    for a, b in zip(keepfit.image_encoder.parameters(), model.image_encoder.parameters(), strict=True):
        torch.testing.assert_close(a.cpu(), b.cpu(), atol=1e-6, rtol=1e-4)
    model = train_reports(studies, tmp_path / "b", keepfit, config=SMALL, training=QUICK, progress=False)
    moved = [not torch.equal(a.cpu(), b.cpu())
             for a, b in zip(keepfit.image_encoder.parameters(), model.image_encoder.parameters(), strict=True)]  # fmt: skip
    assert all(moved)


def test_shuffled_reports_are_anothers():
    reports = [str(i) for i in range(20)]
    given = shuffled(reports, 0)
    assert sorted(given) == sorted(reports) and not any(a == b for a, b in zip(given, reports, strict=True))


def test_views_are_chosen_evenly():
    assert chosen_views(list("abcde"), 8) == list("abcde")
    assert chosen_views(list("abcde"), 3) == list("ace")
    assert chosen_views(list("abcde"), 1) == ["c"]


# -------------------------------------------------------------------------------------------------------------- commands


def test_generate_reports(trained, drawn_studies, studies, tmp_path, capsys):
    folders = sorted((drawn_studies["images"]).glob("study*"))[:2]
    command = ["generate-reports", str(trained[1]), "--images", *map(str, folders), "--out"]
    assert main([*command, str(tmp_path / "a.json")]) == 0
    rows = json.loads((tmp_path / "a.json").read_text())
    assert [row["study"] for row in rows] == [folder.name for folder in folders]
    assert all(len(row["images"]) == 3 and row["mean_log_likelihood"] < 0 for row in rows)
    assert "2 reports" in capsys.readouterr().out
    assert main([*command, str(tmp_path / "a.csv"), "--width", "1"]) == 0
    with (tmp_path / "a.csv").open(encoding="utf-8") as file:
        assert [row["study"] for row in csv.DictReader(file)] == [folder.name for folder in folders]
    assert main([*command, str(tmp_path / "a.txt")]) == 0
    assert (tmp_path / "a.txt").read_text().startswith(folders[0].name + "\n" + rows[0]["report"])
    annotated = ["--images", str(drawn_studies["annotation"]), "--out", str(tmp_path / "b.json")]
    assert main(["generate-reports", str(trained[1]), *annotated]) == 0
    assert len(json.loads((tmp_path / "b.json").read_text())) == sum(study.split == "test" for study in studies)


def test_pictures_named_one_by_one_are_one_study(tmp_path):
    for name in ("10.png", "2.png"):
        Image.new("L", (8, 8)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    given = [tmp_path / "10.png", tmp_path / "2.png"]
    assert studies_named(given) == [(tmp_path.name, given)]
    assert studies_named([tmp_path])[0][1] == [tmp_path / "2.png", tmp_path / "10.png"]


def test_train_reports_by_command(drawn_studies, tmp_path, capsys):
    command = ["train-reports", "--studies", str(drawn_studies["annotation"]), "--language", "zh", "--epochs", "1", "--out"]
    assert main([*command, str(tmp_path / "zh"), "--limit", "60"]) == 0
    out = capsys.readouterr().out
    assert f"finished: {tmp_path / 'zh'}" in out and re.search(r"[1-9]\d* of \d+ reports are longer than 60 characters", out)
    assert ReportModel.load(tmp_path / "zh").config.language == "zh" and ReportModel.load(tmp_path / "zh").config.limit == 60
    assert main([*command, str(tmp_path / "none"), "--limit", "0"]) == 2
    assert "limit is 0" in capsys.readouterr().err and not (tmp_path / "none").exists()
    assert main([*command, str(tmp_path / "zh")]) == 2
    assert "exists already" in capsys.readouterr().err.splitlines()[-1]


def test_what_generate_reports_refuses(trained, run, drawn_studies, tmp_path, capsys):
    picture = next(drawn_studies["images"].glob("study*/1.jpg"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    broken = tmp_path / "broken"
    shutil.copytree(trained[1], broken)
    (broken / "vocabulary.json").write_text('["a"]')
    cases = [
        ([str(run), str(picture), "a.json"], "is no run that writes reports"),
        ([str(tmp_path / "none"), str(picture), "a.json"], "no such run"),
        ([str(broken), str(picture), "a.json"], "vocabulary"),
        ([str(trained[1]), str(tmp_path / "none.jpg"), "a.json"], "no such picture or folder"),
        ([str(trained[1]), str(tmp_path / "empty"), "a.json"], "holds no picture"),
        ([str(trained[1]), str(drawn_studies["images"]), "a.json"], "give the folders in it"),
        ([str(trained[1]), str(tmp_path / "bad.jpg"), "a.json"], "bad.jpg: no readable picture"),
        ([str(trained[1]), str(picture), "a.xls"], "ends in .csv or .json or .txt"),
        ([str(trained[1]), str(picture), "bad.jpg/a.json"], "the folder of --out is a file"),
    ]
    for (model, images, out), words in cases:
        assert main(["generate-reports", model, "--images", images, "--out", str(tmp_path / out)]) == 2
        last = capsys.readouterr().err.splitlines()[-1]
        assert last.startswith("keepfit_mini: ") and words in last, (words, last)
        assert not (tmp_path / "a.json").exists()


def test_what_training_refuses(studies, tmp_path):
    train = [study for study in studies if study.split == "train"]
    with pytest.raises(InputError, match="no study of the val split"):
        train_reports(train, tmp_path / "a", model_config=MODEL)
    silent = [dataclasses.replace(study, report_zh="") for study in studies]
    with pytest.raises(InputError, match="has no report in 'zh'"):
        train_reports(silent, tmp_path / "a", model_config=MODEL, config=dataclasses.replace(SMALL, language="zh"))
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [({"language": "fr"}, "language is 'fr'"), ({"dim": 33}, "multiple of heads"), ({"joined": "sum"}, "joined is 'sum'"),
     ({"limit": 0}, "limit is 0"), ({"dropout": 1.0}, "share under 1")],
)  # fmt: skip
def test_settings_are_checked(change, words):
    with pytest.raises(InputError, match=words):
        dataclasses.replace(SMALL, **change)


def test_long_reports_are_cut_and_counted(model, studies):
    assert StudyReports(studies[:2], ["dye leaks " * 30, "dye leaks"], model, 0).cut == 1


def test_numbers_in_names_are_the_order_of_time():
    names = ["10.jpg", "1_10.jpg", "2.jpg", "1_2.jpg", "late.jpg", "1\u00b2.jpg"]
    found = [path.name for path in sorted(map(Path, names), key=by_number)]
    assert found == ["1\u00b2.jpg", "1_2.jpg", "1_10.jpg", "2.jpg", "10.jpg", "late.jpg"]


def test_pictures_may_lie_elsewhere(trained, drawn_studies, tmp_path):
    shutil.copy(drawn_studies["annotation"], tmp_path / "annotation.json")
    words = ["generate-reports", str(trained[1]), "--images", str(tmp_path / "annotation.json"), "--out", str(tmp_path / "a.csv")]
    assert main(words) == 2
    assert main([*words, "--root", str(drawn_studies["images"])]) == 0


def test_a_study_needs_no_report_to_be_written(trained, drawn_studies, tmp_path):
    annotation = json.loads(drawn_studies["annotation"].read_text(encoding="utf-8"))
    for case in annotation["test"].values():
        case["En_Report"] = ""
    file = drawn_studies["annotation"].parent / "no_reports.json"
    file.write_text(json.dumps(annotation))
    assert main(["generate-reports", str(trained[1]), "--images", str(file), "--out", str(tmp_path / "a.json")]) == 0
    assert len(json.loads((tmp_path / "a.json").read_text())) == len(annotation["test"])


# --------------------------------------------------------------------------------------------- what real sets are like


def odd_set(folder, drawn_studies, change):
    """The drawn studies with `change` made to their annotation: its path in `folder`, with the pictures."""
    shutil.copytree(drawn_studies["annotation"].parent, folder)
    annotation = json.loads(drawn_studies["annotation"].read_text(encoding="utf-8"))
    change(annotation)
    path = folder / drawn_studies["annotation"].name
    path.write_text(json.dumps(annotation, ensure_ascii=False), encoding="utf-8")
    return path


def cut_off(annotation, folder, split):
    """The first view of the split's first study loses a fifth of its bytes -> its name."""
    name = next(iter(annotation[split].values()))["Image_path"][0]
    path = next(place for place in (folder / name, folder / "images" / name) if place.is_file())
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 4 // 5])
    return name


def refused(capsys, words, out, *command):
    assert main([*map(str, command), "--out", str(out)]) == 2, words
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("keepfit_mini: ") and words in last, last
    assert not out.exists() and not list(out.parent.glob(f".{out.name}*"))


def test_odd_annotations_by_command(trained, drawn_studies, tmp_path, capsys):
    def change(annotation):
        annotation["val"] = {}
        tests = list(annotation["test"].values())
        tests[0]["Image_path"][0] = "lost.jpg"
        next(iter(annotation["train"].values()))["Image_path"] = []

    path, out = odd_set(tmp_path / "set", drawn_studies, change), tmp_path / "a.json"
    generate = ["generate-reports", trained[1], "--images", path]
    refused(capsys, "no image: give it an Image_path", tmp_path / "run", "train-reports", "--studies", path)
    refused(capsys, "picture lost.jpg is missing", out, *generate)
    refused(capsys, "no image: give it", out, *generate, "--split", "train")
    refused(capsys, "has no study of the val split", out, *generate, "--split", "val")
    refused(capsys, "the beam's width is 0", out, *generate, "--width", "0")
    refused(capsys, "block is -1", out, *generate, "--block", "-1")
    assert main([*map(str, generate), "--missing", "drop", "--out", str(out)]) == 0
    rows = json.loads(out.read_text())
    assert len(rows[0]["images"]) == 2 and len(rows[1]["images"]) == 3
    assert "1 pictures" in capsys.readouterr().err


def test_what_training_refuses_by_command(drawn_studies, tmp_path, capsys):
    def change(annotation):
        annotation["val"] = {}
        next(iter(annotation["train"].values()))["Image_path"][1] = "lost.jpg"

    command = ["train-reports", "--epochs", "1", "--studies", odd_set(tmp_path / "set", drawn_studies, change)]
    refused(capsys, "picture lost.jpg is missing", tmp_path / "run", *command)
    refused(capsys, "no study of the val split", tmp_path / "run", *command, "--missing", "drop")


def test_a_picture_that_is_cut_off(trained, drawn_studies, tmp_path, capsys):
    names = []

    def change(annotation):
        names.append(cut_off(annotation, tmp_path / "set", "test"))

    path, out = odd_set(tmp_path / "set", drawn_studies, change), tmp_path / "a.json"
    refused(capsys, f"{names[0]}: no readable picture", out, "generate-reports", trained[1], "--images", path)
    assert main(["generate-reports", str(trained[1]), "--images", str(path), "--missing", "drop", "--out", str(out)]) == 0
    assert len(json.loads(out.read_text())[0]["images"]) == 2


def test_a_lost_picture_of_another_split_stops_nothing(trained, drawn_studies, tmp_path):
    def change(annotation):
        next(iter(annotation["train"].values()))["Image_path"] = ["lost.jpg"]

    path, out = odd_set(tmp_path / "set", drawn_studies, change), tmp_path / "a.txt"
    assert main(["generate-reports", str(trained[1]), "--images", str(path), "--out", str(out)]) == 0


def test_views_beyond_the_models_are_said(studies, drawn_studies, tmp_path, capsys):
    config = dataclasses.replace(SMALL, views=2)
    train_reports(studies, tmp_path / "run", model_config=MODEL, config=config, training=dataclasses.replace(QUICK, epochs=1))
    learned = sum(study.split != "test" for study in studies)
    assert f"{learned} of {learned} studies have more than 2 pictures: 2 of each are read" in capsys.readouterr().out
    settings = json.loads((tmp_path / "run/config.json").read_text())
    assert settings["studies_thinned"] == {split: sum(s.split == split for s in studies) for split in ("train", "val")}
    folder = sorted(drawn_studies["images"].glob("study*"))[0]
    words = ["generate-reports", str(tmp_path / "run"), "--images", str(folder), "--out", str(tmp_path / "a.json")]
    assert main(words) == 0
    assert "1 of 1 studies have more than 2 pictures: 2 of each are read" in capsys.readouterr().out
    images = json.loads((tmp_path / "a.json").read_text())[0]["images"]
    assert [Path(image).name for image in images] == ["1.jpg", "3.jpg"]


def test_block_needs_no_training(trained, drawn_studies, tmp_path):
    folder = sorted(drawn_studies["images"].glob("study*"))[0]
    command = ["generate-reports", str(trained[1]), "--images", str(folder), "--block", "1", "--out", str(tmp_path / "a.json")]
    assert main(command) == 0
    written = trained[0].vocabulary.encode(json.loads((tmp_path / "a.json").read_text())[0]["report"])[0]
    assert len(set(written)) == len(written)
    assert trained[0].config.block == 0


def test_folders_named_twice_alike_or_mixed(tmp_path):
    for name in ("a/eye/1.png", "b/eye/1.png", "b/other/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8)).save(tmp_path / name)
    a, b, other = (tmp_path / name for name in ("a/eye", "b/eye", "b/other"))
    assert [name for name, _ in studies_named([a, b, other])] == [str(a), str(b), "other"]
    for twice in ([a, b, tmp_path / "b/../a/eye"], [a / "1.png", a / "1.png"]):
        with pytest.raises(InputError, match="is named twice: give it once"):
            studies_named(twice)
    with pytest.raises(InputError, match=f"one study together, but these lie in {a} and {b} and 1 more: give the folders"):
        studies_named([path / "1.png" for path in (a, b, other)])


def test_words_of_another_language(studies, tmp_path, capsys):
    russian = [dataclasses.replace(s, report="Утечка красителя в макуле.") if s.split == "val" else s for s in studies]
    with pytest.raises(InputError, match="more than half of the words of the val reports .* is it another language"):
        train_reports(russian, tmp_path / "run", model_config=MODEL, config=SMALL, training=QUICK)
    assert not (tmp_path / "run").exists()
    counts = Counter(word for study in studies if study.split == "train" for word in tokens(study.report))
    rare = dataclasses.replace(SMALL, min_count=max(counts.values()))
    with pytest.raises(InputError, match="of the train reports are seen fewer than .* times: give more reports, or a lower min"):
        train_reports(studies, tmp_path / "run", model_config=MODEL, config=rare, training=QUICK)
    some = [dataclasses.replace(s, report="утечка " * 8 + s.report) if s.split == "val" else s for s in studies]
    train_reports(some, tmp_path / "run", model_config=MODEL, config=SMALL, training=dataclasses.replace(QUICK, epochs=1))
    share = json.loads((tmp_path / "run/config.json").read_text())["words_unknown"]
    assert share["train"] < 0.1 < share["val"] < 0.5
    assert f"{share['val']:.0%} of the words of the val reports are not in the vocabulary" in capsys.readouterr().out


def test_unknown_words_are_counted(model, studies):
    assert StudyReports(studies[:2], ["dye leaks xyz xyz", ""], model, 0).unknown == 0.5


@pytest.mark.parametrize("finished", [0, 1])
def test_ctrl_c_keeps_the_best_of_the_finished_epochs(drawn_studies, monkeypatch, tmp_path, capsys, finished):
    values = iter([1.0] * finished)

    def stopped(*_):
        for value in values:
            return value, 0.0
        raise KeyboardInterrupt

    monkeypatch.setattr(report_training, "mean_losses", stopped)
    out = tmp_path / "runs" / "run"
    assert main(["train-reports", "--studies", str(drawn_studies["annotation"]), "--out", str(out)]) == 130
    said = capsys.readouterr()
    assert said.err.endswith("keepfit_mini: stopped.\n")
    if finished:
        assert f"stopped: {out} keeps the best of 1 epoch" in said.out
        assert {path.name for path in out.iterdir()} == {"config.json", "vocabulary.json", "metrics.jsonl", "model.safetensors"}
        assert len((out / "metrics.jsonl").read_text().splitlines()) == 1 and ReportModel.load(out).config.limit == 90
    assert [path.name for path in out.parent.iterdir()] == ["run"] * finished


def test_the_schedule_counts_the_steps_of_one_process(studies, monkeypatch, tmp_path):
    seen, warmup_cosine = [], report_training.warmup_cosine
    monkeypatch.setattr(Accelerator, "prepare_data_loader", lambda self, loader, **_: prepare_data_loader(
        loader, self.device, num_processes=2, process_index=0))  # fmt: skip
    monkeypatch.setattr(report_training, "warmup_cosine", lambda optimizer, *given: seen.append(given) or warmup_cosine(
        optimizer, *given))  # fmt: skip
    quick = dataclasses.replace(QUICK, epochs=1)
    train_reports(studies, tmp_path / "run", model_config=MODEL, config=SMALL, training=quick, progress=False)
    batches = -(-sum(study.split == "train" for study in studies) // 8)
    assert seen == [(-(-batches // 2), 0.5, 1)]


def test_a_console_that_cannot_show_a_sign(trained, drawn_studies, tmp_path):
    folder = tmp_path / "\u773c"
    shutil.copytree(sorted(drawn_studies["images"].glob("study*"))[0], folder)
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = ["generate-reports", trained[1], "--images", folder, "--out", tmp_path / "a.csv"]
    done = subprocess.run([sys.executable, "-m", "keepfit_mini", *command], env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("?: ") and "Traceback" not in done.stderr
    assert "\u773c" in (tmp_path / "a.csv").read_text(encoding="utf-8")


def test_a_damaged_vocabulary_is_refused(trained, drawn_studies, tmp_path, capsys):
    shutil.copytree(trained[1], tmp_path / "run")
    words = json.loads((tmp_path / "run/vocabulary.json").read_text())
    (tmp_path / "run/vocabulary.json").write_text(json.dumps([*words[:-2], 5, None]))
    command = ["generate-reports", tmp_path / "run", "--images", drawn_studies["annotation"]]
    refused(capsys, "list of texts", tmp_path / "a.csv", *command)
