"""Gradient caching: a batch in chunks gives the loss, the gradients and the random state of the whole batch."""

import copy
import dataclasses
import json

import pytest
import torch
from torch import nn

import keepfit_mini as kf
from keepfit_mini import chunks
from keepfit_mini.model import make_exact

ROWS = 20


def sides(size=32):
    """A public and an expert batch of random pictures; texts repeat, as prompts do."""
    generator = torch.Generator().manual_seed(0)
    pixels = [torch.rand(ROWS, 3, size, size, generator=generator) for _ in range(2)]
    names = [("drusen", "glaucoma", "normal", "myopia")[i % 4] for i in range(ROWS)]
    public = {"image": pixels[0], "text": [f"a photograph of {n}" for n in names], "category": names}
    expert = {"image": pixels[1], "text": [f"pair {i}: " + "a pale disc and thin vessels " * (i % 5) for i in range(ROWS)]}
    return public, expert


def gradients(model, variant, chunk_size, seed=0):
    model = copy.deepcopy(model)
    model.chunk_size = chunk_size
    torch.manual_seed(seed)
    total, _ = model(*sides(), variant)
    total.backward()
    return total.item(), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}, model, torch.get_rng_state()


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    config = dataclasses.replace(kf.PRESETS["mini"][0], image_size=32, fusion=True)
    return kf.KeepFIT(config, texts=["pair a pale disc and thin vessels"]).train()


@pytest.mark.parametrize("variant", kf.VARIANTS)
@pytest.mark.parametrize("chunk_size", [1, 6, 20])
def test_chunks_give_the_gradients_of_the_whole_batch(model, variant, chunk_size):
    exact = copy.deepcopy(model)
    make_exact(exact)
    exact.train()
    whole, plain, _, _ = gradients(exact, variant, 0)
    total, parts, _, _ = gradients(exact, variant, chunk_size)
    assert total == pytest.approx(whole, rel=1e-6) and plain.keys() == parts.keys()
    assert max(float((plain[n] - parts[n]).abs().max()) for n in plain) < 1e-5


def test_every_chunk_is_encoded_twice_and_a_whole_batch_once(model):
    calls = []
    for size in (0, 6):
        counted = copy.deepcopy(model)
        seen = []
        counted.image_encoder.register_forward_pre_hook(lambda _, inputs, seen=seen: seen.append(len(inputs[0])))
        counted.chunk_size = size
        counted(*sides(), "mixed")[0].backward()
        calls.append(seen)
    assert calls[0] == [ROWS, ROWS] and calls[1] == [5] * 4 * 2 * 2


def test_no_chunk_is_a_single_row():
    sizes = []
    for count, size in ((11, 5), (3, 2), (2, 1), (1, 4), (16, 5), (7, 100)):
        seen = []
        rows = torch.zeros(count, 1, requires_grad=True)
        chunks.in_chunks(lambda x, seen=seen: (seen.append(len(x)), x)[1], nn.Identity(), size, rows)
        sizes.append(seen)
    assert sizes == [[4, 4, 3], [3], [2], [1], [4, 4, 4, 4], [7]]


def test_the_second_pass_knows_its_device(model, monkeypatch):
    """checkpoint keeps the random state of devices that it sees among its arguments: texts must come as tensors."""
    checkpoint, seen = chunks.checkpoint, []

    def look(function, *arguments, **settings):
        seen.append(any(isinstance(argument, torch.Tensor) for argument in arguments))
        return checkpoint(function, *arguments, **settings)

    monkeypatch.setattr(chunks, "checkpoint", look)
    gradients(model, "mixed", 6)
    assert len(seen) >= 8 and all(seen)


def test_dropout_is_the_same_in_both_passes(model):
    """With one chunk and dropout on, the second pass must draw what the first drew, and leave the random state alone."""
    one = copy.deepcopy(model)
    whole, plain, _, state = gradients(one, "revision+mixed", 0)
    total, parts, _, after = gradients(one, "revision+mixed", ROWS)
    assert total == pytest.approx(whole, rel=1e-6) and torch.equal(state, after)
    assert max(float((plain[n] - parts[n]).abs().max()) for n in plain) < 1e-5
    again, _, _, _ = gradients(one, "revision+mixed", ROWS, seed=7)
    assert again != pytest.approx(whole, rel=1e-6)  # dropout was on


def test_the_second_pass_moves_no_running_statistics(model):
    buffers = [dict(gradients(model, "revision+mixed", size)[2].named_buffers()) for size in (0, ROWS)]
    names = [n for n in buffers[0] if n.endswith(("running_mean", "running_var"))]
    assert names and all(torch.allclose(buffers[0][n], buffers[1][n], atol=1e-6) for n in names)


def test_momentum_comes_back_after_an_error():
    norm = nn.BatchNorm2d(3)
    with pytest.raises(RuntimeError), chunks.statistics_kept(norm):
        assert norm.momentum == 0
        raise RuntimeError
    assert norm.momentum == 0.1


def test_a_run_in_chunks_is_a_run(drawn, quick, tmp_path):
    train = dataclasses.replace(quick[1], epochs=1, exact=True)
    logs = []
    for size in (0, 5):
        settings = dataclasses.replace(train, chunk_size=size, batch_size=16)  # 16 = 5 + 5 + 5 + 1
        kf.pretrain(quick[0], settings, drawn["public"], drawn["expert"], tmp_path / str(size), progress=False)
        logs.append((tmp_path / str(size) / "metrics.jsonl").read_text().splitlines())
    kf.pretrain(quick[0], dataclasses.replace(settings, exact=False), drawn["public"], drawn["expert"], tmp_path / "statistics",
                progress=False)  # fmt: skip
    losses = [[json.loads(line)["loss"] for line in log] for log in logs]
    assert losses[0][:3] == pytest.approx(losses[1][:3], rel=1e-4)
