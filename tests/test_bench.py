"""The bench: the published step and ours are one step, texts without padding are what they were with it, figures are whole."""

import json
import os
import socket
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import keepfit_mini as kf
from keepfit_mini import bench, published_step
from keepfit_mini.bench_page import as_markdown
from keepfit_mini.versus_published import VARIANT, batches, both_ways, captions, difference, gradients, no_dropout


def test_the_published_step_and_ours_have_one_loss_and_one_gradient():
    """In float64, where rounding hides nothing: a random ResNet in training mode turns 1e-7 into 1e-2."""
    theirs, ours = (model.double() for model in both_ways(fast=True))
    sides = [{**side, "image": side["image"].double()} for side in batches(5, 32, seed=3)]
    torch.set_default_dtype(torch.float64)  # targets are made without a type
    try:
        with no_dropout(theirs, ours):
            wanted = published_step.published_loss(theirs, ours.text_encoder.tokenizer, *sides)
            found, _ = ours(*sides, VARIANT)
    finally:
        torch.set_default_dtype(torch.float32)
    wanted.backward()
    found.backward()
    assert_close(found, wanted, atol=1e-10, rtol=1e-10)
    assert max(difference(gradients(ours), gradients(theirs)).values()) < 1e-8


def test_both_ways_drop_out_as_published_while_they_are_timed():
    theirs, ours = both_ways(fast=True)
    rates = [sorted(m.p for m in model.modules() if isinstance(m, nn.Dropout)) for model in (theirs, ours)]
    assert rates[0] == rates[1] and rates[0][-1] == 0.5 and set(rates[0][:-1]) == {0.1}
    vectors = [torch.randn(6, 512, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    once, twice = (published_step.revised_text(theirs, *vectors) for _ in range(2))
    assert not torch.equal(once, twice)


def padded_mean(encoder, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """What TextEncoder gave before it left padding out: one padded batch through transformers' own forward."""
    hidden, mask = encoder.model(ids, mask).last_hidden_state, mask.unsqueeze(-1)
    return (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_texts_without_padding_equal_one_padded_batch(dtype):
    torch.manual_seed(0)
    bert = {**kf.config.MINI_BERT, "num_hidden_layers": 3, "initializer_range": 0.3}  # weights that attend to something
    encoder = kf.KeepFIT(kf.ModelConfig(text_config=bert)).text_encoder.to(dtype).eval()
    tokens = encoder.tokenize(["drusen", "", "a long caption about flame haemorrhages along the arcade", "pale disc", "drusen"])
    ids, mask = tokens["input_ids"], tokens["attention_mask"].clone()
    mask[2, 1], mask[3, 0], mask[4] = 0, 0, 0  # a hole, a text that begins later, none at all
    direction, gradients = torch.randn(5, 128, dtype=dtype), []
    for features in (encoder(ids, mask), padded_mean(encoder, ids, mask)):
        encoder.zero_grad()
        (features * direction).sum().backward()
        gradients.append([features.detach(), *(p.grad for p in encoder.model.parameters() if p.grad is not None)])
    size = max(float(g.abs().max()) for g in gradients[1])
    for mine, whole in zip(*gradients, strict=True):
        assert_close(mine, whole, atol=size * (1e-5 if dtype == torch.float32 else 1e-12), rtol=1e-5)


def test_captions_are_as_long_as_those_of_mm_retinal(monkeypatch):
    monkeypatch.delenv("KEEPFIT_DATA", raising=False)
    captions.cache_clear()
    texts, origin = captions()
    captions.cache_clear()
    lengths = [len(text.split()) for text in texts]
    assert 31 < sum(lengths) / len(lengths) < 35 and max(lengths) > 150 and "this package" in origin


def figures(found: dict) -> list[float]:
    return [x for value in found.values() for x in (figures(value) if isinstance(value, dict) else [value])]


def test_bench_writes_whole_figures(tmp_path, capsys):
    names = [name for name in bench.MEASUREMENTS if name != "compile"]  # a minute of compiling, at any size
    kf_bench = bench.run_bench(tmp_path, presets=("mini",), fast=True, only=names)
    written = (tmp_path / "bench.json").read_text()
    saved = json.loads(written)
    assert saved == kf_bench and set(saved["presets"]) == {"mini"}
    each = {name for name, (_, every) in bench.MEASUREMENTS.items() if every}
    assert set(saved["presets"]["mini"]) == {*each, "pairs_a_side", "pairs_a_side_of_the_preset"}
    assert set(saved["once"]) | each == set(names)
    numbers = figures(saved["presets"]["mini"])
    assert len(numbers) > 20 and all(isinstance(x, int | float) and x > 0 for x in numbers)
    against = saved["once"]["published"]
    assert against["loss_difference"] < 1e-4 and against["ratio"] > 0 and against["tokens"]["real"] < against["tokens"]["padded"]
    assert against["gradient_difference"]["text_encoder"] < 0.01 and against["gradient_noise"]["image_encoder"] > 0
    assert against["parts"]["ours"].keys() == against["parts"]["published"].keys()
    assert socket.gethostname() not in written and str(tmp_path) not in written
    assert len(capsys.readouterr().out.splitlines()) == len(names)
    page = (tmp_path / "bench.md").read_text()
    assert f"**{against['ratio']:.2f} times**" in page and "|  |" not in page

    again = bench.run_bench(tmp_path, presets=("mini",), fast=True, only=("adapters",))
    assert again["once"] == saved["once"] and again["presets"]["mini"]["load"] == saved["presets"]["mini"]["load"]
    assert again["presets"]["mini"]["adapters"] != saved["presets"]["mini"]["adapters"]


def test_the_committed_page_is_of_the_committed_figures():
    results = Path(__file__).parents[1] / "results"
    saved = json.loads((results / "bench.json").read_text())
    assert (results / "bench.md").read_text() == as_markdown(saved)
    once = saved["once"]
    assert not saved["fast"] and once["published"]["ratio"] >= 2 and once["published"]["loss_difference"] < 1e-4
    assert once["batch of 512"]["peak_memory_mb"] <= 1.5 * once["batch of 32"]["peak_memory_mb"]


def dies(case: bench.Case) -> dict:
    os._exit(1)


def test_a_measurement_that_dies_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "MEASUREMENTS", {"dies": (dies, False), "adapters": (bench.adapters, True)})
    result = bench.run_bench(tmp_path, presets=("mini",), fast=True)
    assert "memory enough" in result["once"]["dies"]["error"] and result["presets"]["mini"]["adapters"]
