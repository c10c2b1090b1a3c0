"""Features are computed once: what is kept equals what is computed, and anything that would change it is another file."""

import shutil

import pytest
import torch
from PIL import Image

import keepfit_mini as kf
from keepfit_mini.features import fingerprint
from keepfit_mini.manifests import read_manifest
from keepfit_mini.pictures import fit_square, read_picture


@pytest.fixture
def model(run):
    return kf.KeepFIT.from_pretrained(run)


@pytest.fixture
def images(drawn):
    return read_manifest(drawn["unseen_odir"])["image"].tolist()[:7]


@pytest.fixture
def no_encoder(monkeypatch):
    """From here on a pass through the encoder is a failure."""

    def fail(*_):
        raise AssertionError("the encoder ran")

    return lambda model: monkeypatch.setattr(model.image_encoder, "forward", fail)


def test_one_pass_gives_what_the_encoders_give(model, images):
    found = kf.picture_features(model, images, batch_size=3, progress=False)
    pixels = torch.stack([fit_square(read_picture(image), 48) for image in images])
    with torch.inference_mode():
        torch.testing.assert_close(found["features"], model.image_encoder(pixels))
        torch.testing.assert_close(found["vectors"], model.encode_image(pixels))


def test_what_is_kept_equals_what_is_computed(model, images, tmp_path, no_encoder):
    fresh = kf.picture_features(model, images, tmp_path / "new" / "cache", progress=False)
    assert len(list((tmp_path / "new" / "cache").iterdir())) == 1  # and no half-written file
    no_encoder(model)
    kept = kf.picture_features(model, [str(image) for image in images], tmp_path / "new" / "cache", progress=False)
    assert all(torch.equal(fresh[name], kept[name]) for name in fresh)
    with pytest.raises(AssertionError, match="the encoder ran"):
        kf.picture_features(model, images, progress=False)


def test_whatever_changes_the_features_is_another_file(model, images, tmp_path):
    seen = [fingerprint(model, images)]
    seen += [fingerprint(model, images[::-1]), fingerprint(model, images[1:]), fingerprint(model, images, 0)]
    copy = tmp_path / "copy.jpg"
    shutil.copy(images[0], copy)
    assert fingerprint(model, [copy, *images[1:]]) == seen[0]  # the same bytes by another name
    Image.open(copy).rotate(1).save(copy)
    seen.append(fingerprint(model, [copy, *images[1:]]))
    model.config.image_size = 32
    seen.append(fingerprint(model, images))
    model.config.image_size = 48
    with torch.no_grad():
        next(model.image_encoder.parameters()).view(-1)[0] += 1e-4
    seen.append(fingerprint(model, images))
    for name in ("mean", "model.stem.1.running_mean"):
        model.image_encoder.get_buffer(name).view(-1)[0] += 1
        seen.append(fingerprint(model, images))
    assert len(set(seen)) == len(seen) == 9
    with torch.no_grad():
        model.logit_scale += 1  # has no part in them, as the projection has none
        model.image_projection.projection.weight[0] += 1
    assert fingerprint(model, images) == seen[-1]


def test_a_changed_weight_is_computed_anew(model, images, tmp_path):
    before = kf.picture_features(model, images, tmp_path, progress=False)
    with torch.no_grad():
        model.image_projection.projection.weight[0] += 0.1
    after = kf.picture_features(model, images, tmp_path, progress=False)
    assert torch.equal(before["features"], after["features"]) and not torch.allclose(before["vectors"], after["vectors"])


@pytest.mark.parametrize("harm", [lambda data: b"", lambda data: data[:100], lambda data: data[:-4], lambda data: b"x" * 99])
def test_a_broken_file_is_computed_anew(model, images, tmp_path, harm):
    fresh = kf.picture_features(model, images, tmp_path, progress=False)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(harm(whole))
    again = kf.picture_features(model, images, tmp_path, progress=False)
    assert torch.equal(fresh["vectors"], again["vectors"]) and file.read_bytes() == whole


def test_a_folder_that_cannot_be_written_costs_a_line(model, images, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert len(kf.picture_features(model, images, tmp_path / "file", progress=False)["vectors"]) == 7
    assert "not kept" in capsys.readouterr().err


def test_augmented_pictures_differ_and_repeat(model, images):
    plain, one, same, other = (
        kf.picture_features(model, images, progress=False, augment_seed=seed)["vectors"] for seed in (None, 1, 1, 2)
    )
    assert torch.equal(one, same) and not torch.allclose(one, other) and not torch.allclose(one, plain)


def test_a_broken_picture_is_named(model, images, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"nothing")
    for cache in (None, tmp_path / "cache"):
        for name in ("broken.png", "none.png"):
            with pytest.raises(OSError, match=name) as failure:
                kf.picture_features(model, [*images[:4], tmp_path / name], cache, batch_size=2, progress=False)
            assert failure.value.index == 4
    assert not (tmp_path / "cache").exists()


def test_zero_shot_with_and_without_a_cache(model, drawn, tmp_path, no_encoder):
    classes = ["normal", "pathologic myopia", "cataract"]
    without = kf.zero_shot(model, drawn["unseen_odir"], classes, progress=False)
    assert kf.zero_shot(model, drawn["unseen_odir"], classes, progress=False, cache=tmp_path) == without
    no_encoder(model)
    assert kf.zero_shot(model, drawn["unseen_odir"], classes, progress=False, cache=tmp_path) == without
