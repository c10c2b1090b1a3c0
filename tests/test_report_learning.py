"""A writer reads the pictures: it learns from them, needs those of the right eye, and learns nothing from others' reports.

Studies of one frame with one severe finding of four kinds, each as often, so that guessing is right once in four; a study's
neighbour never has the same kind.
"""

import dataclasses
import json
from statistics import mean

import pytest

from keepfit_mini.config import PRESETS
from keepfit_mini.drawn_studies import write_report
from keepfit_mini.phantom import Finding
from keepfit_mini.phantom_findings import QUADRANTS
from keepfit_mini.phantom_phases import FINDING_PLACES, draw_study
from keepfit_mini.report_findings import clinical_score, read_findings
from keepfit_mini.report_generation import ReportConfig, write_reports
from keepfit_mini.report_search import mean_log_likelihood
from keepfit_mini.report_training import ReportTraining, train_reports
from keepfit_mini.studies import Study

KINDS = ("leakage", "non-perfusion", "neovascularisation", "staining")
TRAINING = ReportTraining(epochs=16, batch_size=8, augment=False)
SIZES = {"train": 240, "val": 40, "test": 120}


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    folder, drawn = tmp_path_factory.mktemp("studies"), []
    splits = [split for split, count in SIZES.items() for _ in range(count)]
    for i, split in enumerate(splits):
        finding = Finding(KINDS[i % 4], "severe", tuple(QUADRANTS)[i // 4 % 4])
        study = draw_study([finding], seed=i, size=48, views=1, camera="amber")
        path = folder / f"{i}.png"
        study.frames[0].convert("L").save(path)
        report, _ = write_report(study.findings, study.phases, study.eye, seed=i)
        drawn.append(Study(str(i), (path,), report, "", split, study.findings))
    return drawn


def finding_f1(model, studies, shift=0):
    """Of each study's report, written from the pictures of the study `shift` places on."""
    asked = [study for study in studies if study.split == "test"]
    images = [study.images for study in asked]
    texts, _ = write_reports(model, images[shift:] + images[:shift], width=1, progress=False)
    return clinical_score([read_findings(text) for text in texts], [study.findings for study in asked])["finding_f1"]


def likely(model, studies, width):
    """Mean log-likelihood a word of each test study's report, mean over studies."""
    _, found = write_reports(model, [study.images for study in studies if study.split == "test"], width, progress=False)
    return mean(map(mean_log_likelihood, found))


def learned(studies, out, **changes):
    model_config = dataclasses.replace(PRESETS["mini"][0], image_size=48)
    config, training = ReportConfig(dim=64, layers=1), dataclasses.replace(TRAINING, **changes)
    return train_reports(studies, out, model_config=model_config, config=config, training=training, progress=False)


def test_it_reads_the_pictures_and_those_of_this_eye(studies, tmp_path):
    model = learned(studies, tmp_path / "run")
    own, others = finding_f1(model, studies), finding_f1(model, studies, shift=1)
    assert own > 0.6 and others < own - 0.4, (own, others)
    assert likely(model, studies, 3) >= likely(model, studies, 1)  # the beam's, the greedy ones'
    every = [Finding(name, "moderate", places[0]) for name, places in FINDING_PLACES.items()]  # all findings for everybody
    asked = [study.findings for study in studies if study.split == "test"]
    listed = clinical_score([every] * len(asked), asked)
    assert listed["finding_recall"] == 1 and listed["finding_precision"] == pytest.approx(0.2)
    assert listed["finding_f1"] < own - 0.2 and listed["exact_f1"] < 0.05


def test_from_shuffled_reports_it_learns_nothing(studies, tmp_path):
    model = learned(studies, tmp_path / "run", shuffle=True)
    assert finding_f1(model, studies) < 0.42  # guessing: .25, with 120 studies two standard deviations are .08
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["val_loss"] < 0.7 * lines[0]["val_loss"]  # it did train: words without pictures
