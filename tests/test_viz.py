"""Every picture function returns a Figure that shows what it was given, and prints and leaves nothing."""

import json

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

import keepfit_mini as kf
from keepfit_mini import viz
from keepfit_mini.expert_attention import expert_attention


@pytest.fixture
def folder(tmp_path):
    """Six pictures with labels and six with captions."""
    rng = np.random.default_rng(0)
    for i in range(6):
        Image.fromarray(rng.integers(0, 255, (24, 24, 3), dtype=np.uint8)).save(tmp_path / f"{i}.png")
    labels = ["glaucoma", "glaucoma", "glaucoma", "normal", "cataract", "cataract"]
    (tmp_path / "public.csv").write_text("image,label\n" + "".join(f"{i}.png,{c}\n" for i, c in enumerate(labels)))
    caption = "A pale crescent of bare sclera borders the disc, and choroidal vessels shine through a thinned retina {}."
    (tmp_path / "expert.csv").write_text("image,text\n" + "".join(f'{i}.png,"{caption.format(i)}"\n' for i in range(6)))
    return tmp_path


def texts(figure):
    """All words of a figure, in one line; drawing it must not fail."""
    figure.canvas.draw()
    found = [t.get_text() for t in figure.findobj(lambda a: hasattr(a, "get_text") and a.get_visible())]
    return " ".join(" ".join(found).split())


def pictures(folder, count=6):
    return [folder / f"{i}.png" for i in range(count)]


def test_predictions_shows_every_class_and_number(folder, capsys):
    figure = viz.predictions(pictures(folder, 2), np.array([[0.25, 0.75], [0.9, 0.1]]), ["normal", "glaucoma"])
    assert isinstance(figure, Figure)
    assert len(figure.axes) == 4
    for word in ("0.25", "0.75", "0.90", "0.10", "normal", "glaucoma", "0.png", "not for clinical use"):
        assert word in texts(figure)
    assert capsys.readouterr() == ("", "")


def test_samples_takes_labels_in_turn(folder):
    figure = viz.samples(folder / "public.csv", 3, "Public")
    assert len(figure.axes) == 3
    for word in ("Public", "cataract", "glaucoma", "normal"):
        assert word in texts(figure)


def test_samples_shows_captions_and_takes_a_frame(folder):
    frame = kf.read_manifest(folder / "expert.csv")
    figure = viz.samples(frame.iloc[2:], 9, columns=3)
    assert len(figure.axes) == 4  # what there is, where more is asked
    assert "through a thinned retina 5." in texts(figure)
    assert "retina 1." not in texts(figure)


def test_training_curves_leaves_out_a_loss_that_a_variant_lacks(tmp_path):
    for name, expert in (("a", 0.0), ("b", 1.5)):
        losses = {"public": 3.0, "expert": expert, "revision": expert / 100, "scale": 14.3}
        lines = [{"step": i + 1, "epoch": 0, **losses} for i in range(9)]
        lines.insert(4, {"step": 5, "epoch": 0})  # a step whose batch was broken pictures only
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    figure = viz.training_curves({"labels": tmp_path / "a.jsonl", "both": tmp_path / "b.jsonl"}, smooth=3)
    drawn = [{line.get_label() for line in axes.lines if not line.get_label().startswith("_")} for axes in figure.axes]
    assert drawn == [{"labels", "both"}, {"both"}, {"both"}, {"labels", "both"}]
    assert figure.axes[3].lines[0].get_ydata() == pytest.approx(1 / 14.3)


def test_similarity_matrix_marks_truth_and_answer(folder):
    cosines = {"one": np.array([[0.1, 0.9], [0.3, 0.2]]), "two": np.array([[0.5, -0.4], [0.6, 0.7]])}
    figure = viz.similarity_matrix(cosines, pictures(folder, 2), ["normal", "cataract"], [0, 1])
    assert len(figure.axes) == 4  # two pictures, two matrices
    bold = {t.get_text() for axes in figure.axes for t in axes.texts if t.get_weight() == "bold"}
    assert bold == {"0.90", "0.30", "0.50", "0.70"}
    assert sum(len(axes.patches) for axes in figure.axes) == 4  # a frame a picture and model
    assert "-0.40" in texts(figure)


def test_attention_shows_the_heaviest_pairs_first(folder):
    frame = kf.read_manifest(folder / "expert.csv")
    weights = np.array([[0.05, 0.1, 0.6, 0.05, 0.2, 0.0]])
    figure = viz.attention(pictures(folder, 1), frame, weights, ["cataract"], top=2)
    words = texts(figure)
    assert len(figure.axes) == 3
    assert "0.6000 (3.60 × an even share)" in words
    assert "unseen picture: cataract" in words
    assert words.index("retina 2.") < words.index("retina 4.")
    assert "retina 1." not in words


def test_expert_attention_is_the_mean_over_heads(folder):
    model = kf.KeepFIT(kf.ModelConfig(image_size=24, dim=16, text_config={**kf.config.MINI_BERT, "num_hidden_layers": 1}))
    model.train()  # dropout must not show
    frame = kf.read_manifest(folder / "expert.csv")
    weights = expert_attention(model, pictures(folder, 2), frame)
    assert weights.shape == (2, 6)
    assert weights.sum(1) == pytest.approx(1)
    pixels = torch.stack([kf.fit_square(kf.pictures.read_picture(p), 24) for p in pictures(folder)])
    with torch.no_grad():
        image, text = model.eval().encode_image(pixels), model.encode_text(frame["text"].tolist())
        expected = model.text_revision(image[:2], image, text)[1].mean(0)
    np.testing.assert_allclose(weights, expected, atol=1e-6)


def test_confusion_shows_counts_of_one_or_several():
    matrix = [[7, 1], [2, 13]]
    assert len(viz.confusion(matrix, ["normal", "cataract"], "ODIR").axes) == 1
    figure = viz.confusion({"labels": matrix, "both": np.zeros((2, 2), int)}, ["normal", "cataract"], "ODIR")
    assert len(figure.axes) == 2
    for word in ("7", "13", "ODIR", "labels", "both", "truth", "answered"):
        assert word in texts(figure).split()


def test_results_bars_shows_value_and_interval():
    rows = [
        {"model": model, "dataset": "unseen_odir", "classes": ["a", "b", "c"],
         "metrics": {"aca": value}, "ci95": {"aca": [value - 0.1, value + 0.1]}}
        for model, value in (("public-only", 0.4), ("revision+mixed", 0.8))
    ]  # fmt: skip
    figure = viz.results_bars(rows)
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    assert heights == pytest.approx([0.4, 0.8])
    lines = [list(line.get_ydata()) for line in figure.axes[0].lines]
    assert any(y == pytest.approx([0.3, 0.5]) for y in lines)
    assert any(y == pytest.approx([1 / 3, 1 / 3]) for y in lines)
    assert "0.80" in texts(figure)


def test_save_makes_folders_and_leaves_no_part(folder):
    figure = viz.confusion([[1, 0], [0, 1]], ["a", "b"])
    path = folder / "new" / "deep" / "picture.png"
    assert viz.save(figure, path) == path
    assert [p.name for p in path.parent.iterdir()] == ["picture.png"]
    assert Image.open(path).size[0] == round(viz.WIDTH * 130)

    def disk_full(part, **_):
        part.write_bytes(b"half")
        raise OSError("disk full")

    figure.savefig = disk_full
    with pytest.raises(OSError, match="disk full"):
        viz.save(figure, path)
    assert [p.name for p in path.parent.iterdir()] == ["picture.png"]
    assert Image.open(path).size[0] == round(viz.WIDTH * 130)  # the old one stands


@pytest.mark.parametrize("dpi", [80, 100])  # letters are fitted to pixels: at 80, as notebooks have it, they are wider
@pytest.mark.parametrize("classes", [3, 4])
def test_words_do_not_overlap(folder, classes, dpi, monkeypatch):
    """Labels of a crowded confusion matrix and the captions under pictures keep clear of each other."""
    monkeypatch.setitem(matplotlib.rcParams, "figure.dpi", dpi)
    names = ["normal", "age-related macular degeneration", "diabetic retinopathy", "glaucoma"][:classes]
    matrix = np.full((classes, classes), 12)
    figure = viz.confusion({"public-only": matrix, "revision+mixed": matrix}, names)
    figure.canvas.draw()
    boxes = [t.get_window_extent() for axes in figure.axes for t in axes.get_xticklabels()]
    assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]
    figure = viz.samples(folder / "expert.csv", 6, "Captions", columns=3)
    figure.canvas.draw()
    boxes = [t.get_window_extent() for t in figure.texts] + [axes.get_window_extent() for axes in figure.axes]
    assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]


def test_verdicts_show_every_interval_and_the_papers_own_figure():
    rows = [
        {"name": "helps", "effect": 0.2, "interval": [0.1, 0.3], "verdict": "confirmed", "paper": 0.4},
        {"name": "nothing", "effect": 0.0, "interval": [-0.1, 0.1], "verdict": "cannot tell"},
    ]
    figure = viz.verdicts(rows)
    (axes,) = figure.axes
    drawn = [line.get_xdata() for line in axes.lines]
    assert [0.1, 0.3] in [list(x) for x in drawn] and [0.4] in [list(x) for x in drawn]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["helps", "nothing"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first claim on top


def test_curves_hold_the_means():
    figure = viz.curves({"a": {1: [0.2, 0.4], 5: [0.6]}, "b": {1: [0.5], 5: [0.7, 0.9]}}, "shots")
    lines = {line.get_label(): line.get_ydata().tolist() for line in figure.axes[0].lines}
    assert lines["a"] == pytest.approx([0.3, 0.6]) and lines["b"] == pytest.approx([0.5, 0.8])
