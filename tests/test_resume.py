"""A kill at any moment loses steps and never a run; what is broken is named; a number that is none stops the run."""

import dataclasses
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import keepfit_mini as kf
from keepfit_mini import pictures, trainer
from keepfit_mini.resized import ResizedPictures
from keepfit_mini.run_settings import read_configs

ROOT = Path(__file__).parents[1]


def small(quick, **changes):
    model = dataclasses.replace(quick[0], image_size=32)
    settings = {"epochs": 1, "checkpoint_every": 2, "batch_size": 8, "public_share": 0.2, **changes}
    return model, dataclasses.replace(quick[1], **settings)


def stop_at(monkeypatch, step):
    """Die without a word before the step's place is taken, as a kill would."""
    move_on = trainer.Run._move_on

    def stop(self, end):
        if self.step == step:
            raise SystemExit
        move_on(self, end)

    monkeypatch.setattr(trainer.Run, "_move_on", stop)


def test_a_kill_before_any_change_of_a_file_loses_nothing(tmp_path):
    """data_scripts/kill_and_resume.py, every sixth place; all of them and 20 random moments: results/kill_and_resume.json."""
    out = tmp_path / "kills.json"
    command = [sys.executable, ROOT / "data_scripts" / "kill_and_resume.py", "--runs", "0", "--stride", "6", "--out", out]
    subprocess.run(list(map(str, command)), check=True, timeout=600)
    found = json.loads(out.read_text())["at_files"]
    assert found["tried"] > 4 and found["identical"] == found["tried"], found


def test_what_a_kill_in_the_first_moment_leaves_is_begun_anew(drawn, quick, tmp_path):
    out = tmp_path / "run"
    (out / "checkpoints").mkdir(parents=True)
    (out / "config.json.part").write_text("{")
    kf.pretrain(*small(quick), drawn["public"], drawn["expert"], out, resume=True, progress=False)
    assert (out / "model.safetensors").is_file()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("keep me")
    with pytest.raises(kf.InputError, match="no run there"):
        kf.pretrain(*small(quick), drawn["public"], drawn["expert"], tmp_path / "mine", resume=True)


@pytest.mark.parametrize("name", ["optimizer.bin", "random_states_0.pkl", "model.safetensors", "place.json"])
def test_one_altered_byte_is_noticed_and_the_checkpoint_before_is_taken(drawn, quick, tmp_path, monkeypatch, capsys, name):
    settings = *small(quick), drawn["public"], drawn["expert"]
    kf.pretrain(*settings, tmp_path / "never", progress=False)
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        stop_at(patch, 3)
        with pytest.raises(SystemExit):
            kf.pretrain(*settings, out, progress=False)
    checkpoints = sorted(path.name for path in (out / "checkpoints").iterdir())
    assert checkpoints == ["step-00000001", "step-00000002"]
    file = out / "checkpoints" / "step-00000002" / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    kf.pretrain(*settings, out, resume=True, progress=False)
    assert "passed over" in (said := capsys.readouterr().err) and "step-00000002" in said
    for left in ("model.safetensors", "metrics.jsonl"):
        assert (out / left).read_bytes() == (tmp_path / "never" / left).read_bytes()


def test_no_whole_checkpoint_is_said(drawn, quick, tmp_path, monkeypatch):
    out = tmp_path / "run"
    settings = *small(quick), drawn["public"], drawn["expert"], out
    with monkeypatch.context() as patch:
        stop_at(patch, 3)
        with pytest.raises(SystemExit):
            kf.pretrain(*settings, progress=False)
    for place in out.glob("checkpoints/*/place.json"):
        place.write_text("{}")
    with pytest.raises(kf.InputError, match="none of its checkpoints"):
        kf.pretrain(*settings, resume=True, progress=False)


def test_a_run_killed_before_its_last_tidying_is_finished(run, drawn, quick, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(run, out)
    (out / "checkpoints" / "step-00000001").mkdir(parents=True)
    kf.pretrain(*quick, drawn["public"], drawn["expert"], out, resume=True, progress=False)
    assert not (out / "checkpoints").exists()


@pytest.mark.parametrize("step", [1, 5, 6, 9])
@pytest.mark.parametrize(
    "changes",
    [{"num_workers": 2}, {"views": 2, "augment": True}, {"chunk_size": 3, "expert_batch_size": 5}, {"variant": "mixed+fusion"}],
)
def test_any_setting_goes_on_exactly(drawn, quick, tmp_path, monkeypatch, changes, step):
    model, train = small(quick, epochs=2, **changes)
    model = dataclasses.replace(model, frozen_stages=2 if "views" in changes else 0)
    settings = model, train, drawn["public"], drawn["expert"]
    kf.pretrain(*settings, tmp_path / "never", progress=False)
    with monkeypatch.context() as patch:
        stop_at(patch, step)
        with pytest.raises(SystemExit):
            kf.pretrain(*settings, tmp_path / "run", progress=False)
    kf.pretrain(*settings, tmp_path / "run", resume=True, progress=False)
    for left in ("model.safetensors", "metrics.jsonl"):
        assert (tmp_path / "run" / left).read_bytes() == (tmp_path / "never" / left).read_bytes()


def test_sigterm_to_the_whole_group_saves_although_there_are_readers(drawn, tmp_path):
    """As schedulers, `timeout` and torchrun send it: the processes that read pictures get it too."""
    out = tmp_path / "run"
    command = [sys.executable, "-m", "keepfit_mini", "pretrain", "--public", drawn["public"], "--expert", drawn["expert"]]
    command += ["--image-size", "32", "--epochs", "50", "--workers", "1", "--out", out]
    run = subprocess.Popen(list(map(str, command)), start_new_session=True, stderr=subprocess.PIPE, text=True)
    log, deadline = out / "metrics.jsonl", time.monotonic() + 120
    while not (log.is_file() and len(log.read_text().splitlines()) > 5) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(run.pid, signal.SIGTERM)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 130 and "--resume" in said, said
    steps = len(log.read_text().splitlines())
    assert (out / "checkpoints" / f"step-{steps:08d}" / "place.json").is_file()


def test_a_changed_place_is_noticed(drawn, quick, tmp_path, monkeypatch, capsys):
    settings = *small(quick), drawn["public"], drawn["expert"], tmp_path / "run"
    with monkeypatch.context() as patch:
        stop_at(patch, 3)
        with pytest.raises(SystemExit):
            kf.pretrain(*settings, progress=False)
    newest = tmp_path / "run" / "checkpoints" / "step-00000002"
    place = newest / "place.json"
    place.write_text(place.read_text().replace('"row": 16', '"row": 17'))
    with monkeypatch.context() as patch:
        stop_at(patch, 1)
        with pytest.raises(SystemExit):
            kf.pretrain(*settings, resume=True, progress=False)
    assert "place.json is not what was written" in capsys.readouterr().err
    assert not newest.exists()  # what is broken does not count among the two that are kept


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_loss_that_is_no_number_stops_with_its_rows_named_and_saved(drawn, quick, tmp_path, monkeypatch, where):
    out, forward = tmp_path / "run", kf.KeepFIT.forward
    calls = []

    def spoil(self, public, *arguments):
        total, parts = forward(self, public, *arguments)
        calls.append(public["row"])
        if len(calls) == 3:
            extra = total * float("nan") if where == "loss" else (total - total.detach()).abs().sqrt()  # 0, no slope
            total = total + extra
        return total, parts

    monkeypatch.setattr(kf.KeepFIT, "forward", spoil)
    with pytest.raises(kf.InputError) as error:
        kf.pretrain(*small(quick), drawn["public"], drawn["expert"], out, progress=False)
    assert f"{where} is not finite at step 3" in str(error.value) and "nonfinite.json" in str(error.value)
    assert str(drawn["public"]) in str(error.value) and ", row " in str(error.value)
    saved = json.loads((out / "nonfinite.json").read_text())
    public = kf.manifests.keep_share(kf.read_manifest(drawn["public"]), 0.2, quick[1].seed)
    assert [row["row"] for row in saved["public"]] == [int(public["row"][i]) for i in calls[2]]
    assert all(row["category"] and row["category"] in row["text"] or row["text"] for row in saved["public"])
    assert len(saved["expert"]) == 8 and saved["expert"][0]["text"] and (saved["loss"] is None) == (where == "loss")
    state = read_configs(out)  # the run is whole up to there
    assert state and len((out / "metrics.jsonl").read_text().splitlines()) == 2
    assert all(torch.isfinite(p).all() for p in weights_of(out / "checkpoints" / "step-00000002"))


def weights_of(checkpoint):
    return load_file(checkpoint / "model.safetensors").values()


def test_resized_pictures_are_found_whole_or_not_at_all(tmp_path):
    kept = ResizedPictures(rows=5, size=4, limit=3 * (3 * 16 + 4))
    pictures = torch.randint(0, 256, (5, 3, 4, 4), dtype=torch.uint8)
    assert kept.get(0) is None and kept.rows == 3
    for row in range(5):
        kept.put(row, pictures[row])
    assert all(torch.equal(kept.get(row), pictures[row]) for row in range(3)) and kept.get(3) is None
    kept.put(1, torch.zeros(3, 4, 4, dtype=torch.uint8))
    assert kept.get(1).max() == 0  # black is not the same as never written
    kept.file.seek(kept.record * 2 + 10)
    kept.file.write(b"\x00\x01")
    kept.file.flush()
    assert kept.get(2) is None  # half written
    assert pickle.loads(pickle.dumps(kept)).get(0) is None  # a process that is not forked begins without
    assert ResizedPictures(rows=5, size=4, limit=0).get(0) is None


def test_a_full_disk_ends_the_keeping_and_nothing_else(monkeypatch):
    kept = ResizedPictures(rows=5, size=4, limit=1e6)
    picture = torch.ones(3, 4, 4, dtype=torch.uint8)
    kept.put(4, picture)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        kept.put(0, picture)
    kept.put(1, picture)
    assert kept.get(0) is None and kept.get(1) is None and torch.equal(kept.get(4), picture)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, 2 * kept.record))
    assert ResizedPictures(rows=5, size=4, limit=1e6).rows == 1
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: (_ for _ in ()).throw(OSError(13, "Permission denied")))
    assert ResizedPictures(rows=5, size=4, limit=1e6).get(0) is None


@pytest.mark.parametrize("workers", [0, 2])
def test_readers_and_their_cache_change_nothing(drawn, quick, tmp_path, workers):
    logs = []
    for gigabytes, readers in ((0.0, 0), (1.0, workers)):
        out = tmp_path / f"{gigabytes}"
        settings = small(quick, epochs=2, num_workers=readers, cache_gb=gigabytes)
        kf.pretrain(*settings, drawn["public"], drawn["expert"], out, progress=False)
        logs.append((out / "metrics.jsonl").read_text())
    assert logs[0] == logs[1]


def test_a_file_is_decoded_once_a_run(drawn, quick, tmp_path, monkeypatch):
    read, seen = pictures.read_picture, []
    monkeypatch.setattr(pictures, "read_picture", lambda path: (seen.append(path), read(path))[1])
    kf.pretrain(*small(quick, epochs=3), drawn["public"], drawn["expert"], tmp_path / "run", progress=False)
    public = [path for path in seen if "/public/" in str(path)]
    assert len(public) == len(set(public)) == 48
