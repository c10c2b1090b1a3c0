"""The losses and the attention as mathematics: gradients, identities, both softmax axes."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy, normalize, scaled_dot_product_attention
from torch.testing import assert_close

import keepfit_mini as kf


def unit(rows, dim=8, seed=0):
    return normalize(torch.randn(rows, dim, dtype=torch.double, generator=torch.Generator().manual_seed(seed)), dim=-1)


@pytest.mark.parametrize("variant", kf.VARIANTS)
def test_gradcheck(variant):
    torch.manual_seed(0)
    revision = kf.TextRevision(8, dropout=0.0).double()
    fusion = kf.TextFusion(8, dropout=0.0).double()
    targets = kf.soft_targets(["a", "b", "a", "c"]).double()
    inputs = [unit(4, seed=1), unit(4, seed=2), unit(3, seed=3), unit(3, seed=4), torch.tensor(5.0, dtype=torch.double)]

    def loss(*x):
        return kf.mixed_loss(variant, *x, targets, revision=revision, fusion=fusion)[0]

    assert torch.autograd.gradcheck(loss, [x.requires_grad_() for x in inputs])


def test_attention_over_experts_is_scaled_dot_product_attention():
    torch.manual_seed(0)
    module = kf.TextRevision(8, heads=2).double().eval()
    image, expert_image, expert_text = unit(5), unit(3, seed=1), unit(3, seed=2)
    q, k, v = (w(x).view(-1, 2, 4).transpose(0, 1) for w, x in
               ((module.W_q, image), (module.W_k, expert_image), (module.W_v, expert_text)))  # fmt: skip
    want = module.W_o(scaled_dot_product_attention(q, k, v).transpose(0, 1).reshape(5, 8))
    revised, weights = module(image, expert_image, expert_text)
    assert_close(revised, want)
    assert_close(weights.sum(-1), torch.ones(2, 5).double())  # over the experts


def test_the_two_axes_differ_and_one_head_over_heads_is_all_ones():
    image, expert_image, expert_text = unit(5), unit(3, seed=1), unit(3, seed=2)
    by = {axis: kf.TextRevision(8, 2, normalize_over=axis).double().eval() for axis in ("experts", "heads")}
    by["heads"].load_state_dict(by["experts"].state_dict())
    weights = {axis: module(image, expert_image, expert_text)[1] for axis, module in by.items()}
    assert_close(weights["heads"].sum(0), torch.ones(5, 3).double())
    assert (weights["heads"] - weights["experts"]).abs().max() > 0.05
    assert (kf.TextRevision(8, 1, normalize_over="heads").double()(image, expert_image, expert_text)[1] == 1).all()


def test_an_expert_pair_of_the_same_picture_is_looked_at():
    """With identity maps and one head, the weights are the softmax of the image similarities."""
    module = kf.TextRevision(8, heads=1).double().eval()
    for layer in module.children():
        if hasattr(layer, "weight"):
            torch.nn.init.eye_(layer.weight)
    image = unit(5)
    _, weights = module(image, image, unit(5, seed=2))
    assert (weights[0].argmax(1) == torch.arange(5)).all()
    assert_close(weights[0], (image @ image.T / math.sqrt(8)).softmax(1))


def test_identity_targets_are_plain_clip():
    image, text, labels = unit(6), unit(6, seed=1), torch.arange(6)
    logits = 14.0 * image @ text.T
    want = (cross_entropy(logits, labels) + cross_entropy(logits.T, labels)) / 2
    assert_close(kf.soft_clip_loss(image, text, 14.0, torch.eye(6)), want)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text(max_size=4), min_size=1, max_size=12))
def test_soft_targets_share_each_row_among_the_same_category(categories):
    targets = kf.soft_targets(categories)
    assert_close(targets.sum(1), torch.ones(len(categories)))
    for i, a in enumerate(categories):
        for j, b in enumerate(categories):
            assert targets[i, j].item() == pytest.approx((a == b) / categories.count(a))


@settings(deadline=None, max_examples=25)
@given(st.permutations(range(6)))
def test_order_within_a_batch_does_not_matter(order):
    categories = ["a", "b", "a", "c", "c", "c"]
    image, text = unit(6), unit(6, seed=1)
    first = kf.soft_clip_loss(image, text, 10.0, kf.soft_targets(categories))
    again = kf.soft_clip_loss(image[order], text[order], 10.0, kf.soft_targets([categories[i] for i in order]))
    assert_close(first, again)


def test_weight_of_the_revision_loss():
    torch.manual_seed(0)
    revision = kf.TextRevision(8).double().eval()
    batch = [unit(4), unit(4, seed=1), unit(3, seed=2), unit(3, seed=3), 10.0, kf.soft_targets(["a", "b", "a", "c"])]

    def weight(variant, given=None):
        total, parts = kf.mixed_loss(variant, *batch, revision=revision, weight=given)
        return ((total - parts["public"] - parts["expert"]) / parts["revision"]).item()

    assert weight("revision+mixed") == pytest.approx(100)
    assert weight("revision") == pytest.approx(1)
    assert weight("revision+mixed", 7.0) == pytest.approx(7)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="variant"):
        kf.mixed_loss("everything", unit(2), unit(2), None, None, 1.0, torch.eye(2))
    with pytest.raises(ValueError, match="normalize_over"):
        kf.TextRevision(8, normalize_over="rows")
    with pytest.raises(ValueError, match="multiple"):
        kf.TextRevision(9, heads=2)


def test_the_model_takes_identity_targets():
    """KeepFIT.forward with targets="identity": a repeated category is no positive."""
    config = kf.ModelConfig(image_size=32, text_config=kf.config.MINI_BERT)
    model = kf.KeepFIT(config, pretrained=False).eval()
    batch = {"image": torch.rand(4, 3, 32, 32), "text": ["drusen", "haze", "drusen", "disc"], "category": ["a", "b", "a", "c"]}
    with torch.no_grad():
        image, text = model.encode_image(batch["image"]), model.encode_text(batch["text"])
        for targets, wanted in (("identity", torch.eye(4)), ("category", kf.soft_targets(batch["category"]))):
            total, _ = model(batch, None, "public-only", targets=targets)
            assert torch.allclose(total, kf.soft_clip_loss(image, text, model.scale, wanted), atol=1e-5)
    with pytest.raises(kf.InputError, match="targets"):
        kf.TrainConfig(targets="labels")
