"""pretrain(): it learns what captions say, not what shuffled captions say; runs are whole, resumable, and refuse nonsense."""

import dataclasses
import json
import os
import shutil
import signal

import pandas as pd
import pytest
import torch
from PIL import Image

import keepfit_mini as kf
from keepfit_mini import trainer
from keepfit_mini.data import Pictures
from keepfit_mini.drawn_sets import draw_sets

ODIR = ["normal", "pathologic myopia", "cataract"]


def weights(run):
    return kf.KeepFIT.from_pretrained(run).state_dict()


def lines(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def log(run):
    return (run / "metrics.jsonl").read_text()


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """Zero-shot ACA on the drawn unseen ODIR set, after captions that describe and after the same ones shuffled."""
    folder = tmp_path_factory.mktemp("learn")
    sets = draw_sets(folder / "data", images=1000, size=64, seed=3, progress=False)
    model, train = kf.PRESETS["mini"]
    train = dataclasses.replace(train, seed=3)
    scores = {}
    for kind in ("expert", "expert_shuffled"):
        trained = kf.pretrain(model, train, sets["public"], sets[kind], folder / kind, progress=False)
        scores[kind] = kf.zero_shot(trained, sets["unseen_odir"], ODIR, progress=False)
    return scores


def test_captions_teach_categories_that_no_label_named(learnt):
    assert learnt["expert"]["ci95"]["aca"][0] > 0.55, learnt  # chance is 1/3


def test_shuffled_captions_do_not(learnt):
    withheld = {k: min(v["recall"][c] for c in ODIR[1:]) for k, v in learnt.items()}
    assert learnt["expert"]["metrics"]["aca"] > learnt["expert_shuffled"]["metrics"]["aca"] + 0.2, learnt
    assert withheld["expert"] > withheld["expert_shuffled"], learnt
    assert learnt["expert_shuffled"]["ci95"]["aca"][0] < 1 / 3 + 0.15, learnt


def test_the_run_folder(run, drawn, quick):
    rows = len(pd.read_csv(drawn["public"]))
    steps = 2 * -(-rows // quick[1].batch_size)
    log = lines(run)
    assert [line["step"] for line in log] == list(range(1, steps + 1))
    for line in log:
        total = line["public"] + line["expert"] + 100 * line["revision"]
        assert line["loss"] == pytest.approx(total, rel=1e-4) and 1 <= line["scale"] <= 100 and line["grad_norm"] > 0
    config = json.loads((run / "config.json").read_text())
    assert config["train"]["seed"] == 5 and config["versions"]["torch"] == torch.__version__
    assert {p.name for p in run.iterdir()} == {"config.json", "metrics.jsonl", "model.safetensors", "tokenizer"}


def test_one_seed_decides_everything(run, drawn, quick, tmp_path):
    kf.pretrain(*quick, drawn["public"], drawn["expert"], tmp_path / "again", progress=False)
    assert log(run) == log(tmp_path / "again")
    assert all(torch.equal(a, b) for a, b in zip(weights(run).values(), weights(tmp_path / "again").values(), strict=True))


@pytest.mark.parametrize("stop_after", [1, 20])
def test_a_stopped_run_goes_on_as_if_never_stopped(run, drawn, quick, tmp_path, monkeypatch, stop_after):
    out, one_step = tmp_path / "run", trainer.Run._one_step

    def stop(self, *args):
        if self.step == stop_after:
            raise KeyboardInterrupt
        one_step(self, *args)

    monkeypatch.setattr(trainer.Run, "_one_step", stop)
    train = dataclasses.replace(quick[1], checkpoint_every=4)
    with pytest.raises(KeyboardInterrupt):
        kf.pretrain(quick[0], train, drawn["public"], drawn["expert"], out, progress=False)
    with pytest.raises(kf.InputError, match="--resume"):
        kf.KeepFIT.from_pretrained(out)
    monkeypatch.setattr(trainer.Run, "_one_step", one_step)
    kf.pretrain(quick[0], train, drawn["public"], drawn["expert"], out, resume=True, progress=False)
    assert log(run) == log(out)
    assert all(torch.equal(a, b) for a, b in zip(weights(run).values(), weights(out).values(), strict=True))


def test_ctrl_c_saves_first_and_gives_the_signal_back(run, drawn, quick, tmp_path, monkeypatch):
    before, out, one_step = signal.getsignal(signal.SIGINT), tmp_path / "run", trainer.Run._one_step

    def press(self, *args):
        one_step(self, *args)
        if self.step == 4:  # the fifth
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(trainer.Run, "_one_step", press)
    with pytest.raises(KeyboardInterrupt):
        kf.pretrain(*quick, drawn["public"], drawn["expert"], out, progress=False)
    assert [p.name for p in sorted((out / "checkpoints").iterdir())] == ["step-00000001", "step-00000005"]
    assert signal.getsignal(signal.SIGINT) is before
    monkeypatch.setattr(trainer.Run, "_one_step", one_step)
    kf.pretrain(*quick, drawn["public"], drawn["expert"], out, resume=True, progress=False)
    assert log(run) == log(out)


def test_resume_of_a_finished_run_changes_nothing_and_of_no_run_is_refused(run, drawn, quick, tmp_path):
    before = {p: p.stat().st_mtime_ns for p in run.rglob("*")}
    kf.pretrain(*quick, drawn["public"], drawn["expert"], run, resume=True, progress=False)
    assert before == {p: p.stat().st_mtime_ns for p in run.rglob("*")}
    with pytest.raises(kf.InputError, match="no run there"):
        kf.pretrain(*quick, drawn["public"], drawn["expert"], tmp_path / "none", resume=True)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("variant", kf.VARIANTS)
def test_every_variant_trains(variant, drawn, quick, tmp_path):
    train = dataclasses.replace(quick[1], variant=variant, epochs=1)
    kf.pretrain(quick[0], train, drawn["public"], drawn["expert"], tmp_path / "run", progress=False)
    last = lines(tmp_path / "run")[-1]
    assert (last["expert"] > 0) == ("mixed" in variant.split("+"))
    assert (last["revision"] > 0) == ("revision" in variant.split("+"))


@pytest.mark.parametrize("frozen_stages", [2, 5])
def test_kept_activations_give_the_loss_of_computed_ones(drawn, quick, tmp_path, frozen_stages):
    """Two paths, one answer: frozen stages (some, or the whole encoder) computed once (float16) or at each visit."""
    model = dataclasses.replace(quick[0], frozen_stages=frozen_stages)
    train = dataclasses.replace(quick[1], augment=False, epochs=1)
    for views in (0, 1):
        kf.pretrain(
            model,
            dataclasses.replace(train, views=views),
            drawn["public"],
            drawn["expert"],
            tmp_path / str(views),
            progress=False,
        )
    zero, one = (lines(tmp_path / str(views)) for views in (0, 1))
    assert [a["loss"] for a in zero] == pytest.approx([b["loss"] for b in one], rel=2e-2)


def test_activations_kept_on_disk_are_found_again(drawn, quick, tmp_path, monkeypatch):
    model, train = dataclasses.replace(quick[0], frozen_stages=5), dataclasses.replace(quick[1], epochs=1, views=2)
    cache = tmp_path / "cache"

    def losses(name, **settings):
        kf.pretrain(model, train, drawn["public"], drawn["expert"], tmp_path / name, progress=False, **settings)
        return [line["loss"] for line in lines(tmp_path / name)]

    fresh = losses("fresh")
    assert losses("kept", cache=cache) == fresh and len(list(cache.iterdir())) == 2  # a file a side
    with monkeypatch.context() as patch:
        patch.setattr(Pictures, "picture", lambda *_: pytest.fail("a picture was read again"))
        assert losses("found", cache=cache) == fresh
    for file in cache.iterdir():
        file.write_bytes(file.read_bytes()[:500])
    assert losses("broken", cache=cache) == fresh


def damaged(drawn, tmp_path, count):
    """A copy of the drawn sets in which `count` public pictures have a good header and a broken body."""
    folder = tmp_path / "data"
    shutil.copytree(drawn["public"].parent, folder)
    pictures = sorted((folder / "images" / "public").iterdir())[:count]
    for picture in pictures:
        whole = picture.read_bytes()
        picture.write_bytes(whole[: len(whole) * 2 // 3])
        Image.open(picture).close()  # the header is good: only decoding finds it
    return folder


@pytest.mark.parametrize("views", [0, 2])
def test_damaged_pictures_are_named_and_passed_over_up_to_the_limit(drawn, quick, tmp_path, capsys, views):
    folder = damaged(drawn, tmp_path, 3)
    model = dataclasses.replace(quick[0], frozen_stages=2)
    train = dataclasses.replace(quick[1], epochs=1, views=views)
    paths = folder / "public.csv", folder / "expert.csv"
    kf.pretrain(model, dataclasses.replace(train, max_bad=0.05), *paths, tmp_path / "run", progress=False)
    assert capsys.readouterr().err.count("passed over") == 3
    with pytest.raises(kf.InputError, match="--max-bad"):
        kf.pretrain(model, dataclasses.replace(train, max_bad=0.0), *paths, tmp_path / "none", progress=False)


def test_bad_input_leaves_no_run_behind(drawn, quick, tmp_path):
    out, public, expert = tmp_path / "run", drawn["public"], drawn["expert"]
    no_text = public  # labels only, so no caption for the expert side
    excluded = dataclasses.replace(quick[1], exclude_categories=("a", "e", "i", "o"))
    for train, sides, word in (
        (quick[1], (public, None), "--expert"),
        (quick[1], (public, no_text), "no text"),
        (quick[1], (tmp_path / "none.csv", expert), "none.csv"),
        (excluded, (public, expert), "exclude less"),
    ):
        with pytest.raises(kf.InputError, match=word):
            kf.pretrain(quick[0], train, *sides, out, progress=False)
        assert not out.exists()
    out.mkdir()
    (out / "mine.txt").write_text("keep me")
    with pytest.raises(kf.InputError, match="exists already"):
        kf.pretrain(*quick, public, expert, out)
    assert [p.name for p in out.iterdir()] == ["mine.txt"]


def test_a_broken_newest_checkpoint_falls_back_and_says_so(run, drawn, quick, tmp_path, monkeypatch, capsys):
    out, one_step = tmp_path / "run", trainer.Run._one_step

    def stop(self, *args):
        if self.step == 17:
            raise KeyboardInterrupt
        one_step(self, *args)

    train = dataclasses.replace(quick[1], checkpoint_every=4)
    monkeypatch.setattr(trainer.Run, "_one_step", stop)
    with pytest.raises(KeyboardInterrupt):
        kf.pretrain(quick[0], train, drawn["public"], drawn["expert"], out, progress=False)
    monkeypatch.setattr(trainer.Run, "_one_step", one_step)
    with pytest.raises(kf.InputError, match="other public rows"):
        kf.pretrain(quick[0], train, drawn["unseen_fives"], drawn["expert"], out, resume=True, progress=False)
    newest = sorted((out / "checkpoints").iterdir())[-1]
    (newest / "optimizer.bin").unlink()
    kf.pretrain(quick[0], train, drawn["public"], drawn["expert"], out, resume=True, progress=False)
    assert f"{newest.name} cannot be read" in capsys.readouterr().err
    assert log(run) == log(out)


def test_excluded_categories_never_enter_a_batch(drawn, quick, tmp_path, monkeypatch):
    seen, forward = set(), kf.KeepFIT.forward
    monkeypatch.setattr(
        kf.KeepFIT, "forward", lambda self, public, *a: (seen.update(public["category"]), forward(self, public, *a))[1]
    )
    train = dataclasses.replace(quick[1], epochs=1, variant="public-only", exclude_categories=("glauc", "diabetic retinopathy"))
    kf.pretrain(quick[0], train, drawn["public"], None, tmp_path / "run", progress=False)
    assert "normal" in seen and not seen & {"glaucoma", "diabetic retinopathy"}
