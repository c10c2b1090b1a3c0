"""Tags: what a report names, asked of the pictures. Whether a writer reads better for them is measured (README)."""

import dataclasses

import pytest
import torch

from keepfit_mini.config import PRESETS, InputError
from keepfit_mini.drawn_studies import draw_studies
from keepfit_mini.phantom import Finding
from keepfit_mini.report_findings import read_findings
from keepfit_mini.report_generation import ReportConfig
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
    assert len(TAGS) == len(set(TAGS)) == 45
    said = {"en": "There is severe leakage in the macula. No staining.", "zh": "黄斑区可见重度渗漏。未见着染。"}
    for language, text in said.items():
        tags = tags_of(read_findings(text, language))
        assert [TAGS[i] for i in tags.nonzero().flatten()] == [("leakage", "macula"), ("leakage", "severe")]
    assert tags_of(()).sum() == 0
    assert tags_of([Finding("leakage", "", "disc")]).sum() == 1  # nothing is said of severity


def test_views_that_a_study_lacks_count_as_zero():
    head, x = TagHead(6, 4), torch.randn(2, 3, 4)
    with torch.no_grad():
        by_hand = x.flatten(1) @ head.weight[:, :12].T + head.bias
    torch.testing.assert_close(head(x), by_hand)
    torch.testing.assert_close(head(torch.cat([x, torch.zeros(2, 3, 4)], 1)), by_hand)


def test_the_loss_is_a_sum_over_tags_and_a_mean_over_studies():
    logits, tags = torch.zeros(3, len(TAGS)), torch.zeros(3, len(TAGS))
    assert tag_loss(logits, tags).item() == pytest.approx(len(TAGS) * 0.6931, rel=1e-3)


def test_the_encoder_learns_from_tags_and_not_from_drawn_findings(studies, tmp_path):
    def first_weights(model):
        return next(iter(model.image_encoder.parameters())).detach().cpu()

    with_tags, without = (train(studies, tmp_path / str(weight), tags=weight) for weight in (1.0, 0.0))
    assert not torch.equal(first_weights(with_tags), first_weights(without))
    blind = train([dataclasses.replace(study, findings=()) for study in studies], tmp_path / "blind", tags=1.0)
    for a, b in zip(with_tags.state_dict().values(), blind.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b)


def test_tags_are_those_of_the_report_that_is_learned(studies):
    class Model:
        config, model_config = ReportConfig(), MODEL
        vocabulary = type("Words", (), {"encode": staticmethod(lambda report, limit: ([1, 2], 0))})

    texts = shuffled([study.report for study in studies], 0)
    for text, tags in zip(texts, StudyReports(studies, texts, Model, 0).tags, strict=True):
        assert torch.equal(tags, tags_of(read_findings(text)))


def test_odd_settings_and_losses_are_refused(studies, tmp_path):
    for name, value in (("tags", -1.0), ("warmup_epochs", -1.0), ("cache_gb", -1.0), ("mixed_precision", "foo")):
        with pytest.raises(InputError, match=name):
            ReportTraining(**{name: value})
    with pytest.raises(InputError, match="loss is no number"):
        train(studies, tmp_path / "run", lr=1e30, visual_lr=1e30, epochs=3)
    with pytest.raises(InputError, match="has no picture"):
        train([dataclasses.replace(studies[0], images=()), *studies[1:]], tmp_path / "run")
    assert not list(tmp_path.iterdir())
