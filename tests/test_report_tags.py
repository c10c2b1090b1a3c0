"""Tags: what a report names, asked of the pictures. Whether a writer reads better for them is measured (README)."""

import dataclasses

import pytest
import torch

from keepfit_mini.config import PRESETS, InputError
from keepfit_mini.drawn_studies import draw_studies
from keepfit_mini.phantom import SEVERITIES, Finding
from keepfit_mini.phantom_phases import PLACES
from keepfit_mini.report_findings import read_findings
from keepfit_mini.report_generation import ReportConfig, spaced
from keepfit_mini.report_tags import TAGS, TagHead, tag_loss, tags_of
from keepfit_mini.report_training import ReportTraining, StudyReports, shuffled, train_reports
from keepfit_mini.studies import read_studies

MODEL = dataclasses.replace(PRESETS["mini"][0], image_size=32)
QUICK = ReportTraining(epochs=1, batch_size=8)


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    return read_studies(draw_studies(tmp_path_factory.mktemp("studies"), studies=30, size=32, progress=False)["annotation"])


def train(studies, out, **changes):
    config, training = ReportConfig(dim=32, heads=2, layers=1), dataclasses.replace(QUICK, **changes)
    return train_reports(studies, out, model_config=MODEL, config=config, training=training, progress=False)


def test_tags_say_place_and_severity_in_both_languages():
    assert len(TAGS) == len(set(TAGS)) == 50
    said = {"en": "There is severe leakage in the macula. No staining.", "zh": "黄斑区可见重度渗漏。未见着染。"}
    for language, text in said.items():
        tags = tags_of(read_findings(text, language))
        assert [TAGS[i] for i in tags.nonzero().flatten()] == [("leakage", ""), ("leakage", "macula"), ("leakage", "severe")]
    assert not tags_of(()).any()


def test_what_a_report_leaves_open_is_not_asked():
    tags = tags_of([Finding("leakage", "", "disc")])  # nothing is said of severity
    assert {tag for tag, value in zip(TAGS, tags, strict=True) if value.isnan()} == {("leakage", s) for s in SEVERITIES}
    logits = torch.zeros(1, len(TAGS), requires_grad=True)
    tag_loss(logits, tags[None]).backward()
    assert {TAGS[i] for i in (logits.grad[0] == 0).nonzero().flatten()} == {("leakage", s) for s in SEVERITIES}
    nowhere = tags_of([Finding("staining", "mild", "")])
    assert {what for (_, what), value in zip(TAGS, nowhere, strict=True) if value.isnan()} == {"disc", *PLACES}


def test_numbers_are_spaced_from_the_first_to_the_last():
    assert [spaced(count, 8) for count in (1, 2, 3, 8)] == [[4], [0, 7], [0, 4, 7], list(range(8))]
    assert all(len(set(spaced(count, among))) == count for among in range(1, 12) for count in range(1, among + 1))


def test_the_last_view_is_where_last_views_are_and_a_turn_without_one_counts_as_zero():
    head, x = TagHead(8, 2, 4), torch.randn(2, 6, 4)  # studies of three views and of two, of two patches
    turns = head.weight.detach().view(len(TAGS), 8, 8)
    views = x.view(2, 3, 8)
    three = sum(turns[:, turn] @ view for turn, view in zip((0, 4, 7), views[0], strict=True))
    two = sum(turns[:, turn] @ view for turn, view in zip((0, 7), views[1], strict=False))
    torch.testing.assert_close(head(x, [spaced(3, 8), spaced(2, 8)]), torch.stack([three, two]) + head.bias)


def test_the_loss_is_a_sum_over_tags_and_a_mean_over_studies():
    logits, tags = torch.zeros(3, len(TAGS)), torch.zeros(3, len(TAGS))
    assert tag_loss(logits, tags).item() == pytest.approx(len(TAGS) * 0.6931, rel=1e-3)


def test_the_encoder_learns_from_tags_and_not_from_drawn_findings(studies, tmp_path):
    def first_weights(model):
        return next(iter(model.image_encoder.parameters())).detach().cpu()

    with_tags, without = (train(studies, tmp_path / str(weight), tag_weight=weight) for weight in (1.0, 0.0))
    assert not torch.equal(first_weights(with_tags), first_weights(without))
    blind = train([dataclasses.replace(study, findings=()) for study in studies], tmp_path / "blind", tag_weight=1.0)
    for a, b in zip(with_tags.state_dict().values(), blind.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b)


def test_tags_are_those_of_the_report_that_is_learned(studies):
    class Model:
        config, model_config = ReportConfig(), MODEL
        vocabulary = type("Words", (), {"encode": staticmethod(lambda report, limit: ([1, 2], 0))})

    texts = shuffled([study.report for study in studies], 0)
    for text, tags in zip(texts, StudyReports(studies, texts, Model, 0).tags, strict=True):
        torch.testing.assert_close(tags, tags_of(read_findings(text)), rtol=0, atol=0, equal_nan=True)


def test_odd_settings_and_losses_are_refused(studies, tmp_path):
    for name, value in (("tag_weight", -1.0), ("warmup_epochs", -1.0), ("cache_gb", -1.0), ("mixed_precision", "foo")):
        with pytest.raises(InputError, match=name):
            ReportTraining(**{name: value})
    with pytest.raises(InputError, match="loss is no number"):
        train(studies, tmp_path / "run", lr=1e30, visual_lr=1e30, epochs=3)
    with pytest.raises(InputError, match="has no picture"):
        train([dataclasses.replace(studies[0], images=()), *studies[1:]], tmp_path / "run")
    assert not list(tmp_path.iterdir())
