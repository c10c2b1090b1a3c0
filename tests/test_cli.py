"""The command line from end to end, and its refusals: exit 2, one last line with file, row and mend, nothing half-written."""

import json
import shutil
from statistics import stdev

import pytest
from PIL import Image

from keepfit_mini.__main__ import COMMANDS, main
from keepfit_mini.arguments import EVALUATIONS, parser
from keepfit_mini.few_shot import PROTOCOLS

ODIR = "normal,pathologic myopia,cataract"


def refused(capsys, *arguments):
    """Run a command that must fail -> the last line on standard error."""
    try:
        code = main([str(a) for a in arguments])
    except SystemExit as stop:  # argparse
        code = stop.code
    error = capsys.readouterr().err
    assert code == 2 and "Traceback" not in error
    return error.strip().splitlines()[-1]


def test_draw_pretrain_evaluate_predict(tmp_path, capsys):
    assert main(["draw", "--out", str(tmp_path / "data"), "--images", "60", "--size", "32", "--seed", "1"]) == 0
    sides = ["--public", str(tmp_path / "data" / "public.csv"), "--expert", str(tmp_path / "data" / "expert.csv")]
    settings = ["--epochs", "1", "--image-size", "32", "--seed", "7", "--exclude-categories", "glaucoma"]
    assert main(["pretrain", "--preset", "mini", *sides, "--out", str(tmp_path / "run"), *settings]) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())["train"]
    assert config["seed"] == 7 and config["exclude_categories"] == ["glaucoma"] and config["epochs"] == 1

    unseen, scores = tmp_path / "data" / "unseen_odir.csv", tmp_path / "new" / "scores.json"
    command = ["evaluate", str(tmp_path / "run"), "--dataset", str(unseen), "--classes", "normal,cataract", "--out", str(scores)]
    assert main(command) == 0
    result = json.loads(scores.read_text())
    rows = len(unseen.read_text().splitlines()) - 1
    assert result["n"] + result["left_out"] == rows and result["left_out"] > 0
    assert result["protocol"] == "zero-shot" and result["dataset"] == "unseen_odir" and result["per_fold"] == []
    for name in ("aca", "auc", "f1", "kappa", "accuracy"):
        low, high = result["ci95"][name]
        assert low <= result["metrics"][name] <= high
    assert f"{result['metrics']['aca']:.3f}" in capsys.readouterr().out

    images = sorted((tmp_path / "data" / "images" / "unseen_odir").iterdir())[:2]
    assert main(["predict", str(tmp_path / "run"), *map(str, images), "--classes", ODIR, "--out", str(tmp_path / "p.png")]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "=" in line]
    assert len(lines) == 2
    chances = [float(word.rsplit("=")[-1]) for word in lines[0].split() if "=" in word]
    assert len(chances) == 3 and sum(chances) == pytest.approx(1, abs=0.01)
    assert Image.open(tmp_path / "p.png").size[0] > 200


def test_evaluate_from_a_few_shots(run, drawn, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("features", "checkpoints"))

    def evaluate(*arguments):
        out = tmp_path / "scores.json"
        command = ["evaluate", str(tmp_path / "run"), "--dataset", str(drawn["unseen_odir"]), "--classes", ODIR]
        assert main([*command, "--out", str(out), *arguments]) == 0
        said = capsys.readouterr()
        return json.loads(out.read_text()), said.out + said.err

    result, said = evaluate("--protocol", "linear-probe")
    assert result["protocol"] == "linear-probe" and result["shots"] == 5 and result["folds"] == len(result["per_fold"]) == 5
    assert result["published"] is False and "linear-probe, 5 shots a class, mean over 5 folds" in said
    aca, (low, high) = result["metrics"]["aca"], result["ci95"]["aca"]
    assert f"{aca:.3f}  [{low:.3f}, {high:.3f}]  {stdev(fold['aca'] for fold in result['per_fold']):.3f}" in said
    assert len(list((tmp_path / "run" / "features").iterdir())) == 1
    result, said = evaluate("--protocol", "tip-adapter", "--shots", "20%", "--folds", "1", "--published", "--seed", "3")
    assert (result["shots"], result["folds"], result["published"], result["seed"]) == ("20%", 1, True, 3)
    assert "tip-adapter, as published, 20% shots a class, one fold" in said and "sd over" not in said
    result, said = evaluate("--shots", "5", "--folds", "3")
    assert result["protocol"] == "zero-shot" and "--shots and --folds changes nothing" in said
    assert len(list((tmp_path / "run" / "features").iterdir())) == 2  # the augmented ones of the published way


def test_evaluate_refuses_shots(run, drawn, tmp_path, capsys):
    def evaluate(*arguments):
        out = tmp_path / "scores.json"
        last = refused(capsys, "evaluate", run, "--dataset", drawn["unseen_odir"], "--classes", ODIR, "--out", out, *arguments)
        assert not out.exists()
        return last

    probe = ("--protocol", "linear-probe")
    assert "'normal' has 10 rows" in evaluate(*probe, "--shots", "9")
    assert "whole number" in evaluate(*probe, "--shots", "few")
    assert "whole number" in evaluate(*probe, "--shots", "-1")
    assert "folds is 0" in evaluate(*probe, "--folds", "0")


def test_the_command_line_knows_every_protocol():
    assert tuple(EVALUATIONS)[1:] == PROTOCOLS


def test_evaluate_refuses(run, drawn, tmp_path, capsys):
    data, out = drawn["unseen_odir"], tmp_path / "scores.json"

    def evaluate(*arguments, dataset=data, where=run):
        return refused(capsys, "evaluate", where, "--dataset", dataset, "--out", out, *arguments)

    assert "no row has the class 'drusen'" in evaluate("--classes", "normal,drusen")
    assert "two or more" in evaluate("--classes", "normal")
    assert "two or more" in evaluate("--classes", "normal,normal")
    assert "none.csv" in evaluate("--classes", ODIR, dataset=tmp_path / "none.csv")
    assert "no such run" in evaluate("--classes", ODIR, where=tmp_path / "none")
    assert "config.json" in evaluate("--classes", ODIR, where=tmp_path)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "config.json").write_text("{")
    (tmp_path / "damaged" / "model.safetensors").write_bytes(b"nothing")
    assert "config.json" in evaluate("--classes", ODIR, where=tmp_path / "damaged")
    assert "hub cannot be reached" in evaluate("--classes", ODIR, where="somebody/model")
    assert "invalid choice" in evaluate("--classes", ODIR, "--protocol", "guess")

    manifest = tmp_path / "broken.csv"
    (tmp_path / "broken.png").write_bytes(b"nothing")
    Image.new("RGB", (9, 9)).save(tmp_path / "good.png")
    manifest.write_text("image,label\ngood.png,zebra\nbroken.png,normal\n")
    last = evaluate("--classes", "normal,zebra", "--prompts", "names", dataset=manifest)
    assert "broken.csv" in last and "row 3" in last and "broken.png" in last
    last = evaluate("--classes", "normal,zebra", "--prompts", "descriptions", dataset=manifest)
    assert "zebra" in last and "names" in last
    assert not out.exists() and not list(tmp_path.glob("*.part"))


def test_pretrain_refuses(drawn, tmp_path, capsys):
    out = tmp_path / "run"

    def pretrain(*arguments):
        last = refused(capsys, "pretrain", "--out", out, "--expert", drawn["expert"], *arguments)
        assert not out.exists()
        return last

    public = ("--public", drawn["public"])
    assert "none.csv" in pretrain("--public", tmp_path / "none.csv")
    assert "no label" in pretrain("--public", drawn["expert"])
    assert "batch_size is 0" in pretrain(*public, "--batch-size", "0")
    assert "image_size is 0" in pretrain(*public, "--image-size", "0")
    assert "epochs is 0" in pretrain(*public, "--epochs", "0")
    assert "max_bad" in pretrain(*public, "--max-bad", "2")
    assert "invalid choice" in pretrain(*public, "--variant", "all")
    assert "no run there" in pretrain(*public, "--resume")
    assert "batch_size is 1" in pretrain(*public, "--batch-size", "1")
    assert "seed is -1" in pretrain(*public, "--seed", "-1")
    assert "lr is -1" in pretrain(*public, "--lr", "-1")
    assert "num_workers is -1" in pretrain(*public, "--workers", "-1")
    assert "not commas" in pretrain(*public, "--exclude-categories", "glaucoma,normal")
    (tmp_path / "file").write_text("")
    assert "file" in refused(capsys, "pretrain", *public, "--expert", drawn["expert"], "--out", tmp_path / "file" / "run")


def test_predict_and_draw_refuse(run, tmp_path, capsys):
    picture = tmp_path / "p.png"
    assert "no such picture" in refused(capsys, "predict", run, tmp_path / "no.jpg", "--classes", ODIR, "--out", picture)
    (tmp_path / "broken.png").write_bytes(b"nothing")
    assert "broken.png" in refused(capsys, "predict", run, tmp_path / "broken.png", "--classes", ODIR, "--out", picture)
    assert "two or more" in refused(
        capsys, "predict", run, tmp_path / "broken.png", "--classes", "normal,,normal", "--out", picture
    )
    assert "ends in" in refused(capsys, "predict", run, tmp_path / "broken.png", "--classes", ODIR, "--out", tmp_path / "p.txt")
    assert not picture.exists()
    assert "images" in refused(capsys, "draw", "--out", tmp_path / "d", "--images", "0")
    assert not (tmp_path / "d").exists()


def test_help_of_every_command(capsys):
    for command in ("demo", "draw", "pretrain", "evaluate", "predict", "results"):
        with pytest.raises(SystemExit) as stop:
            main([command, "--help"])
        assert stop.value.code == 0 and len(capsys.readouterr().out) > 100


def test_every_command_has_its_arguments():
    known = next(action.choices for action in parser()._actions if action.choices)
    assert list(known) == list(COMMANDS)
