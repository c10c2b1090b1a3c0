"""Strangers' files: a pickle that runs code is never run, wherever it lies, and is named; cells are parsed, never evaluated."""

import dataclasses
import json
import os
import pickle
import shutil

import pytest
import torch

import keepfit_mini as kf
from keepfit_mini import trainer
from keepfit_mini.__main__ import main
from keepfit_mini.manifests import fingerprint, read_manifest


class Evil:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch '{self.mark}'",)


def plant(path, mark, kind):
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Evil(mark), protocol=2))
    else:
        torch.save({"weight": torch.zeros(2), "evil": Evil(mark)}, path)


@pytest.fixture
def mark(tmp_path):
    """A path at which nothing may lie when the test is over."""
    path = tmp_path / "mark"
    yield path
    assert not path.exists(), "the code ran"


KINDS = pytest.mark.parametrize("kind", ["pickle", "torch.save"])


@KINDS
def test_the_pickle_would_run(tmp_path, kind):
    plant(tmp_path / "x.bin", tmp_path / "mark", kind)
    if kind == "pickle":
        pickle.loads((tmp_path / "x.bin").read_bytes())
    else:
        torch.load(tmp_path / "x.bin", weights_only=False)
    assert (tmp_path / "mark").exists()


@KINDS
@pytest.mark.parametrize("name", ["w.pth", "w.bin", "w.safetensors"])
def test_image_weights(drawn, tmp_path, mark, capsys, kind, name):
    plant(tmp_path / name, mark, kind)
    sides = ["--public", str(drawn["public"]), "--expert", str(drawn["expert"])]
    assert main(["pretrain", *sides, "--image-weights", str(tmp_path / name), "--out", str(tmp_path / "run")]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert str(tmp_path / name) in last and "not a file of plain tensors" in last and "give" in last


@KINDS
def test_weights_of_a_run(run, drawn, tmp_path, mark, capsys, kind):
    shutil.copytree(run, tmp_path / "run")
    plant(tmp_path / "run" / "model.safetensors", mark, kind)
    task = ["--dataset", str(drawn["unseen_odir"]), "--classes", "normal,cataract"]
    assert main(["evaluate", str(tmp_path / "run"), *task]) == 2
    (last,) = capsys.readouterr().err.splitlines()
    assert "model.safetensors" in last and ": pretrain again" in last
    (tmp_path / "run" / "model.safetensors").unlink()
    plant(tmp_path / "run" / "pytorch_model.bin", mark, kind)
    with pytest.raises(kf.InputError, match=r"no model.safetensors there"):
        kf.KeepFIT.from_pretrained(tmp_path / "run")


@KINDS
def test_a_text_encoder_of_a_folder(tmp_path, mark, kind):
    settings = {**kf.config.MINI_BERT, "vocab_size": 10, "model_type": "bert", "architectures": ["BertModel"]}
    plant(tmp_path / "bert" / "pytorch_model.bin", mark, kind)
    (tmp_path / "bert" / "config.json").write_text(json.dumps(settings))
    (tmp_path / "bert" / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb")
    with pytest.raises(kf.InputError, match="no BertModel can be read there"):
        kf.KeepFIT(kf.ModelConfig(image_size=32, text_encoder=str(tmp_path / "bert")))


def test_a_tokenizer_that_brings_code(run, tmp_path, mark, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked whether to run it"))
    shutil.copytree(run, tmp_path / "run")
    folder = tmp_path / "run" / "tokenizer"
    (folder / "evil.py").write_text(f"import os\nos.system(\"touch '{mark}'\")\nclass EvilTokenizer: pass\n")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings |= {"auto_map": {"AutoTokenizer": ["evil.EvilTokenizer", None]}, "tokenizer_class": "EvilTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    plant(folder / "vocab.pkl", mark, "pickle")
    with pytest.raises(kf.InputError, match=f"{folder}: no AutoTokenizer can be read there.*give a folder") as error:
        kf.KeepFIT.from_pretrained(tmp_path / "run")
    assert "\n" not in str(error.value)
    plant(folder / "tokenizer.json", mark, "pickle")  # where no code is asked for, the vocabulary is a pickle
    shutil.copy(run / "tokenizer" / "tokenizer_config.json", folder)
    with pytest.raises(kf.InputError, match="no AutoTokenizer can be read there"):
        kf.KeepFIT.from_pretrained(tmp_path / "run")


@pytest.fixture(scope="module")
def stopped(drawn, quick, tmp_path_factory):
    """A run with two checkpoints, stopped before its end."""
    out = tmp_path_factory.mktemp("stopped") / "run"
    model, train = quick
    train = dataclasses.replace(train, epochs=1, public_share=0.2, expert_share=0.5, checkpoint_every=2)

    def stop(self):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer.Run, "finish", stop)
        with pytest.raises(KeyboardInterrupt):
            kf.pretrain(model, train, drawn["public"], drawn["expert"], out, progress=False)
    assert len(list((out / "checkpoints").iterdir())) == 2
    return out


def resume(out, quick, drawn):
    return kf.pretrain(*quick, drawn["public"], drawn["expert"], out, resume=True, progress=False)


def vouch(checkpoint):
    """Who can plant a file can also write its checksum down."""
    from keepfit_mini.checkpoints import hashes

    place = json.loads((checkpoint / "place.json").read_text())
    (checkpoint / "place.json").write_text(json.dumps({**place, "files": hashes(checkpoint)}))


@KINDS
@pytest.mark.parametrize(
    "name", ["optimizer.bin", "scheduler.bin", "random_states_0.pkl", "custom_checkpoint_0.pkl", "model.safetensors",
             "pytorch_model.bin"],
)  # fmt: skip
def test_checkpoints(stopped, drawn, quick, tmp_path, mark, capsys, kind, name):
    out = tmp_path / "run"
    shutil.copytree(stopped, out)
    newest = sorted((out / "checkpoints").iterdir())[-1]
    needed = (newest / name).exists() or name == "pytorch_model.bin"
    if name == "pytorch_model.bin":  # is looked for where the other is missing
        (newest / "model.safetensors").unlink()
    plant(newest / name, mark, kind)
    vouch(newest)
    resume(out, quick, drawn)
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("passed over")]
    if needed:  # one that this version does not write it does not read either
        assert len(said) == 1 and str(newest) in said[0] and "cannot be read" in said[0], said
    assert (out / "model.safetensors").is_file()


@pytest.mark.parametrize(
    "cell",
    [
        "__import__('os').system('touch MARK')",
        "['a', __import__('os').system('touch MARK')]",
        "[f'{__import__(\"os\").system(\"touch MARK\")}']",
        "[b'bytes']", "['a'] * 9", "[1]", "[" + "9" * 5000 + "]", "[1e999]", "[None]", "['a', ['b']]",
        "[" * 90 + "]" * 90, "[" * 50_000 + "]" * 50_000, "-" * 90_000 + "1", "(" * 150 + ")" * 150, "[" + "'a'," * 10**6 + "]",
        "{[]: 1}", "{'a'}", "('a',)", "'a'", "", " ", "[", "['a'", "['\\ud800']", "['\\x00", "[...]", "[a]", "lambda: 1",
        "['a' for a in 'b']", "['\\N{no such}']", "0x" + "f" * 9999, "1_0", "1j", "['a']\n['b']",
    ],
)  # fmt: skip
def test_cells_are_parsed_and_never_evaluated(tmp_path, mark, cell):
    (tmp_path / "a.png").write_bytes(b"")
    cell = cell.replace("MARK", str(mark)).replace('"', '""')
    (tmp_path / "m.csv").write_text(f'image,atributes,categories\na.png,[],"{cell}"\n')
    with pytest.raises(kf.InputError, match=r"m.csv, row 2: .*is not a list like \['glaucoma'\]: mend the cell"):
        read_manifest(tmp_path / "m.csv")


def test_odd_cells_that_are_lists(tmp_path, recwarn):
    (tmp_path / "a.png").write_bytes(b"")
    good = (("['a' 'b']", ["ab"]), ("  ['\\d', '']", ["\\d"]), ("['\\u0000']", ["\x00"]), ("[]", []), ("['é 目']", ["é 目"]))
    for cell, labels in good:
        (tmp_path / "m.csv").write_text(f'image,atributes,categories\na.png,[],"{cell}"\n')
        frame = read_manifest(tmp_path / "m.csv")
        assert frame["labels"][0] == labels and fingerprint(frame)
    assert not recwarn.list
