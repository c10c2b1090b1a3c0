"""Equality with the authors' own modules on fixed inputs (tests/data/official_values.*: lxirich/MM-Retinal, dbbb1f0)."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import keepfit_mini as kf

HERE = Path(__file__).parent / "data"
ARRAYS = {k: torch.from_numpy(v) if v.ndim else torch.tensor(v) for k, v in np.load(HERE / "official_values.npz").items()}
SCALARS = json.loads((HERE / "official_values.json").read_text())
SCALE = ARRAYS["in/logit_scale"].exp()
INPUTS = [ARRAYS[f"in/{name}"] for name in ("image", "text", "expert_image", "expert_text")]


def close(got, want, tolerance=1e-5):
    assert_close(torch.as_tensor(got), torch.as_tensor(want), atol=tolerance, rtol=tolerance, check_dtype=False)


def attention(name, heads, normalize_over="heads"):
    module = kf.TextRevision(32, heads=heads, normalize_over=normalize_over).eval()
    module.load_state_dict({f"{w}.weight": ARRAYS[f"attention/{name}/{w}"] for w in ("W_q", "W_k", "W_v", "W_o")})
    return module


@pytest.fixture
def revision():
    return attention("revision", 2)


@pytest.fixture
def fusion():
    module = kf.TextFusion(32, normalize_over="heads").eval()
    module.public_to_expert = attention("public_to_expert", 1)
    module.expert_to_public = attention("expert_to_public", 1)
    return module


def test_text_revision(revision):
    image, _, expert_image, expert_text = INPUTS
    revised, weights = revision(image, expert_image, expert_text)
    close(revised, ARRAYS["out/revised_text"])
    close(weights, ARRAYS["out/revision_attention_weights"])
    close(weights.sum(0), torch.ones(8, 6))  # over the heads, as published


def test_text_fusion(fusion):
    text, expert_text = fusion(*INPUTS)
    close(text, ARRAYS["out/fused_text"])
    close(expert_text, ARRAYS["out/fused_expert_text"])


def test_soft_targets():
    close(kf.soft_targets(SCALARS["public_categories"]), ARRAYS["target/public"])


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("revision", "revision_only"), *[(v, v) for v in ("mixed", "revision+mixed", "mixed+fusion", "revision+mixed+fusion")]],
)
def test_losses(ours, theirs, revision, fusion):
    total, parts = kf.mixed_loss(ours, *INPUTS, SCALE, ARRAYS["target/public"], revision, fusion)
    close(total, SCALARS["losses"][f"total/{theirs}"])
    if "fusion" not in ours:
        close(parts["public"], SCALARS["losses"]["public"])
    if "revision" in ours:
        close(parts["revision"], SCALARS["losses"]["revision_mse"])
    if ours == "revision+mixed":
        close(parts["expert"], SCALARS["losses"]["expert"])


def test_public_only_is_the_public_loss():
    total, parts = kf.mixed_loss("public-only", *INPUTS, SCALE, ARRAYS["target/public"])
    close(total, SCALARS["losses"]["public"])
    assert parts["expert"] == parts["revision"] == 0


def test_projection():
    layer = kf.Projection(48, 32)
    layer.load_state_dict({"projection.weight": ARRAYS["projection/weight"]})
    close(layer(ARRAYS["projection/in"]), ARRAYS["projection/out"])


def test_published_pooling():
    close(kf.published_pooling(list(ARRAYS["pooling/hidden_states"])), ARRAYS["pooling/out"])


def test_schedule():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([parameter], lr=1e-4)
    schedule = kf.warmup_cosine(optimizer, steps_per_epoch=10, warmup_epochs=1, schedule_epochs=100)
    rates = []
    for _ in range(150):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    np.testing.assert_allclose(rates, ARRAYS["schedule/lr_10_steps_per_epoch"].numpy(), rtol=1e-5)


@pytest.mark.parametrize(("before", "after"), [("in", "out"), ("large_in", "large_out")])
def test_preprocessing(before, after):
    pixels = kf.fit_square(ARRAYS[f"preprocess/{before}"].permute(2, 0, 1), 64)
    close(pixels, ARRAYS[f"preprocess/{after}"])
