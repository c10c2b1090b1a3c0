"""The whole model: shapes, the authors' weights, saving, and two paths that must give one answer."""

import dataclasses
import os
import subprocess
import sys

import pytest
import torch
import torchvision
from torch.nn.functional import normalize
from torch.testing import assert_close
from transformers import BertConfig, BertModel

import keepfit_mini as kf

SMALL = kf.ModelConfig(text_config={**kf.config.MINI_BERT, "num_hidden_layers": 2}, dim=32)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return kf.KeepFIT(SMALL).eval()


@pytest.fixture(scope="module")
def official():
    torch.manual_seed(0)
    return kf.KeepFIT(kf.official_config(bert_vocab_size=60, bert_layers=4, bert_intermediate_size=64)).eval()


def official_state():
    """Random weights under the authors' names, made from torchvision and transformers alone."""
    torch.manual_seed(1)
    resnet = torchvision.models.resnet50()
    resnet.fc = torch.nn.Identity()
    bert = BertModel(BertConfig(vocab_size=60, num_hidden_layers=4, intermediate_size=64))
    state = {f"vision_model.model.{k}": v for k, v in resnet.state_dict().items()}
    state |= {f"text_model.model.{k}": v for k, v in bert.state_dict().items()}
    state["vision_model.projection_head_vision.projection.weight"] = torch.randn(512, 2048) / 45
    state["text_model.projection_head_text.projection.weight"] = torch.randn(512, 768) / 27
    state |= {f"attention.{w}.weight": torch.randn(512, 512) / 22 for w in ("W_q", "W_k", "W_v", "W_o")}
    state["logit_scale"] = torch.tensor(3.0)
    return state, resnet.eval(), bert.eval()


@torch.inference_mode()
def test_official_weights_give_the_authors_embeddings(official):
    state, resnet, bert = official_state()
    assert len(state) == 396
    state["text_model.model.embeddings.position_ids"] = torch.arange(512)[None]
    assert kf.load_official_state_dict(official, state) is official
    assert official.scale.item() == pytest.approx(20.0855, rel=1e-4)

    pixels = torch.rand(3, 3, 64, 64)
    want = normalize(resnet(pixels), dim=-1) @ state["vision_model.projection_head_vision.projection.weight"].T
    assert_close(official.encode_image(pixels), normalize(want, dim=-1), atol=1e-5, rtol=1e-5)

    ids, mask = torch.randint(1, 60, (3, 7)), torch.ones(3, 7, dtype=torch.long)
    ids[1, 4:], mask[1, 4:] = 0, 0
    hidden = bert(ids, mask, output_hidden_states=True).hidden_states
    want = (hidden[1] + hidden[2] + hidden[4]).mean(1) / 3  # padding counts, as published
    want = normalize(want, dim=-1) @ state["text_model.projection_head_text.projection.weight"].T
    assert_close(official.encode_tokens(ids, mask), normalize(want, dim=-1), atol=1e-5, rtol=1e-5)

    V, expert, text = (normalize(torch.randn(n, 512), dim=-1) for n in (4, 5, 5))
    q, k, v = (torch.stack((x @ state[f"attention.{w}.weight"].T).chunk(2, -1)) for x, w in
               ((V, "W_q"), (expert, "W_k"), (text, "W_v")))  # fmt: skip
    weights = (q @ k.mT / 16).softmax(0)  # over the two heads
    want = torch.cat(list(weights @ v), -1) @ state["attention.W_o.weight"].T
    assert_close(official.text_revision(V, expert, text)[0], want, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda s: s.pop("attention.W_q.weight"), "lacks 1 tensors"),
        (lambda s: s.update({"vision_model.model.fc.weight": torch.ones(1)}), "has no place for"),
        (lambda s: s.update({"decoder.weight": torch.ones(1)}), "belongs to no part"),
        (lambda s: s.update({"attention.W_q.weight": torch.ones(3, 3)}), "is (3, 3) in the checkpoint"),
    ],
)
def test_official_weights_that_do_not_fit_are_refused_whole(official, change, word):
    state, _, _ = official_state()
    state = {k: v + 1 for k, v in state.items()}
    change(state)
    before = {k: v.clone() for k, v in official.state_dict().items()}
    with pytest.raises(kf.InputError, match=word.replace("(", r"\(").replace(")", r"\)")):
        kf.load_official_state_dict(official, state)
    assert all(torch.equal(before[k], v) for k, v in official.state_dict().items())


@torch.inference_mode()
def test_batched_equals_one_by_one(model):
    pixels = torch.rand(5, 3, 64, 64)
    texts = ["drusen", "a long caption about flame haemorrhages along the superior arcade", "drusen", "disc", "x"]
    assert_close(model.encode_image(pixels), torch.cat([model.encode_image(p[None]) for p in pixels]), atol=1e-5, rtol=1e-5)
    together = model.encode_text(texts)
    assert_close(together, torch.cat([model.encode_text([t]) for t in texts]), atol=1e-5, rtol=1e-5)  # padding is inert
    tokens = model.text_encoder.tokenize(texts)
    assert_close(together, model.encode_tokens(**tokens), atol=1e-5, rtol=1e-5)  # equal texts once = each by itself
    assert_close(together.norm(dim=1), torch.ones(5))


def test_published_pooling_does_count_padding():
    torch.manual_seed(0)
    model = kf.KeepFIT(dataclasses.replace(SMALL, text_pooling="published")).eval()
    with torch.inference_mode():
        alone, padded = model.encode_text(["drusen"]), model.encode_text(["drusen", "a much longer caption than that"])
    assert (alone[0] - padded[0]).abs().max() > 1e-3
    with pytest.raises(kf.InputError, match="two layers"):
        kf.KeepFIT(dataclasses.replace(SMALL, text_pooling="published", text_config=kf.config.MINI_BERT))


def test_equal_prompts_encoded_once_give_the_same_loss(model):
    texts = ["drusen", "normal", "drusen", "drusen"]
    image = normalize(torch.randn(4, 32), dim=-1)
    targets = kf.soft_targets(texts)
    once = kf.soft_clip_loss(image, model.encode_text(texts), model.scale, targets)
    each = kf.soft_clip_loss(image, torch.cat([model.encode_text([t]) for t in texts]), model.scale, targets)
    assert_close(once, each, atol=1e-6, rtol=1e-5)
    grads = [torch.autograd.grad(loss, model.text_projection.projection.weight)[0] for loss in (once, each)]
    assert_close(grads[0], grads[1], atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("variant", kf.VARIANTS)
def test_every_variant_gives_a_finite_loss_and_gradients(variant):
    torch.manual_seed(0)
    model = kf.KeepFIT(dataclasses.replace(SMALL, fusion="fusion" in variant))
    public = {
        "image": torch.rand(4, 3, 64, 64),
        "text": ["drusen"] * 2 + ["normal"] * 2,
        "category": ["drusen"] * 2 + ["normal"] * 2,
    }
    expert = None if variant == "public-only" else {"image": torch.rand(3, 3, 64, 64), "text": ["a", "b", "c"]}
    total, parts = model(public, expert, variant)
    total.backward()
    assert torch.isfinite(total)
    assert (model.text_revision.W_q.weight.grad is not None) == ("revision" in variant.split("+"))
    assert (parts["expert"] > 0) == ("mixed" in variant.split("+"))
    assert model.image_projection.projection.weight.grad.abs().sum() > 0


def test_frozen_stages_keep_weights_and_statistics():
    model = kf.KeepFIT(dataclasses.replace(SMALL, frozen_stages=2)).train()
    frozen, trained = model.image_encoder.stages()[0], model.image_encoder.stages()[-1]
    before = [p.clone() for m in (frozen, trained) for p in m.state_dict().values()]
    model.encode_image(torch.rand(4, 3, 64, 64)).sum().backward()
    assert all(p.grad is None for p in frozen.parameters()) and all(p.grad is not None for p in trained.parameters())
    after = [p for m in (frozen, trained) for p in m.state_dict().values()]
    same = [torch.equal(a, b) for a, b in zip(before, after, strict=True)]
    count = len(frozen.state_dict())
    assert all(same[:count]) and not all(same[count:])  # batch-norm statistics move only where stages are trained


def test_running_batch_norm_makes_a_picture_independent_of_its_batch():
    pixels = torch.rand(4, 3, 64, 64)
    for batch_norm, alike in (("running", True), ("batch", False)):
        model = kf.KeepFIT(dataclasses.replace(SMALL, batch_norm=batch_norm)).train()
        far = (model.encode_image(pixels)[:1] - model.encode_image(pixels[:1])).abs().max()
        assert (far < 1e-5) == alike


@torch.inference_mode()
def test_save_and_load_need_no_download(model, tmp_path):
    model.save_pretrained(tmp_path / "saved")
    again = kf.KeepFIT.from_pretrained(tmp_path / "saved")
    pixels, texts = torch.rand(2, 3, 64, 64), ["drusen in the macula", "normal"]
    assert torch.equal(model.encode_image(pixels), again.encode_image(pixels))
    assert torch.equal(model.encode_text(texts), again.encode_text(texts))
    assert again.config == model.config


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_half_a_folder_is_refused(model, tmp_path, name):
    model.save_pretrained(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(kf.InputError, match=name):
        kf.KeepFIT.from_pretrained(tmp_path)


def test_official_config_without_tokenizer_says_so(official):
    with pytest.raises(kf.InputError, match="no tokenizer"):
        official.encode_text(["drusen"])


@pytest.mark.parametrize(
    "change", [{"dim": 33}, {"image_size": 0}, {"normalize_over": "all"}, {"text_pooling": "max"}, {"batch_norm": "none"}]
)
def test_impossible_configs_are_refused(change):
    with pytest.raises(kf.InputError):
        dataclasses.replace(SMALL, **change)


@pytest.mark.parametrize("offline", [{"HF_HUB_OFFLINE": "1"}, {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9"}])
def test_a_hub_name_without_network_fails_at_once(offline):
    code = (
        "import time, keepfit_mini as kf\n"
        "begin = time.time()\n"
        "try: kf.KeepFIT(kf.ModelConfig(text_encoder='nobody/nothing'))\n"
        "except kf.InputError as e: print(time.time() - begin < 5, e)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **offline})
    assert out.stdout.startswith("True") and "nobody/nothing" in out.stdout and "local folder" in out.stdout, out.stderr


def test_a_local_clinical_bert_folder_reads(tmp_path):
    """The layout of Bio_ClinicalBERT: a cased vocabulary, a tokenizer that lowercases by default, weights in a .bin."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "drusen", "disc", "the", "##s"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    bert = BertModel(
        BertConfig(vocab_size=len(words), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16)
    )
    bert.config.save_pretrained(tmp_path)
    torch.save({f"bert.{k}": v for k, v in bert.state_dict().items()}, tmp_path / "pytorch_model.bin")
    model = kf.KeepFIT(dataclasses.replace(SMALL, text_encoder=str(tmp_path), text_config={})).eval()
    assert_close(dict(model.text_encoder.model.named_parameters())["embeddings.word_embeddings.weight"],
                 bert.embeddings.word_embeddings.weight)  # fmt: skip
    with torch.inference_mode():
        assert_close(model.encode_text(["Drusen"]), model.encode_text(["drusen"]))
        assert (model.encode_text(["disc"]) - model.encode_text(["drusen"])).abs().max() > 1e-3


def test_half_a_bert_is_refused(tmp_path):
    bert = BertModel(BertConfig(vocab_size=9, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16))
    bert.config.save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\nd")
    half = {k: v for k, v in bert.state_dict().items() if "layer.1" not in k}
    torch.save(half, tmp_path / "pytorch_model.bin")
    with pytest.raises(kf.InputError, match="lacks 16 tensors"):
        kf.KeepFIT(dataclasses.replace(SMALL, text_encoder=str(tmp_path), text_config={}))


def test_image_weights_that_do_not_fit_are_refused(tmp_path):
    torch.save({"x": torch.ones(1)}, tmp_path / "w.pth")
    with pytest.raises(kf.InputError, match="do not fit regnet-mini"):
        kf.KeepFIT(dataclasses.replace(SMALL, image_weights=str(tmp_path / "w.pth")))
    (tmp_path / "w.safetensors").write_bytes(b"nothing")
    with pytest.raises(kf.InputError, match="plain tensors"):
        kf.KeepFIT(dataclasses.replace(SMALL, image_weights=str(tmp_path / "w.safetensors")))


def test_new_weights_make_a_frozen_text_encoder_forget(model):
    frozen = kf.KeepFIT(dataclasses.replace(SMALL, text_trained=False)).eval()
    before = frozen.encode_text(["drusen"])
    frozen.load_state_dict({k: v * 1.5 if "word_embeddings" in k else v for k, v in frozen.state_dict().items()})
    assert (frozen.encode_text(["drusen"]) - before).abs().max() > 1e-4


def test_a_pickle_that_runs_code_is_refused(tmp_path):
    class Bomb:
        def __reduce__(self):
            return print, ("boom",)

    torch.save({"x": Bomb()}, tmp_path / "weights.pth")
    with pytest.raises(kf.InputError, match="weights.pth"):
        kf.KeepFIT(dataclasses.replace(SMALL, image_weights=str(tmp_path / "weights.pth")))
