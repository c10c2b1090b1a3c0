"""reproduce: the experiment files fit together, a run is made once, an interruption loses at most one, bad input is named."""

import json

import pytest

import keepfit_mini as kf
from keepfit_mini import reproduce, results
from keepfit_mini.__main__ import main
from keepfit_mini.adapters import PROTOCOLS

KINDS = ["drawn", "real", "real-frozen"]


def test_experiment_files_fit_together():
    data, models = reproduce.read_toml("data"), reproduce.read_toml("models")
    assert {"few-zero-shot", "linear-probe", "ablation"} <= set(reproduce.tables())
    for name in reproduce.tables():
        table = reproduce.read_toml(name)
        for column in table["columns"]:
            task, _, metric = column.partition(":")
            set_name, protocol, how = task.split("/")
            assert any(set_name in kind["sets"] for kind in data.values()), column
            assert protocol == "zero-shot" or protocol in PROTOCOLS, column
            assert how in ("names", "descriptions", "both", "20%", "all") or how.isdigit(), column
            assert results.column_name(column) and metric in ("", "auc")
        for kind, names in table["models"].items():
            assert kind in KINDS and set(names) <= set(models), (name, kind)
        for row, values in table.get("paper", {}).items():
            assert len(values) <= len(table["columns"]) and all(0 < v < 1 for v in values), row
    for kind in data.values():
        for model in models.values():
            model_config, train_config = reproduce.configs(kind, model, seed=3)  # refuses what is no setting
            assert model.get("untrained") or train_config.variant == model["variant"] and train_config.seed == 3
            assert model.get("untrained") or model_config.image_size == kind.get("model", {}).get("image_size", 160)


def test_the_ablation_holds_all_variants_with_both_softmaxes():
    models = reproduce.read_toml("models")
    for kind in ("drawn", "real-frozen"):
        asked = [models[name] for name in reproduce.read_toml("ablation")["models"][kind]]
        assert {m["variant"] for m in asked} == set(kf.VARIANTS)
        heads = {m["variant"] for m in asked if m.get("model", {}).get("normalize_over") == "heads"}
        assert heads == {"revision", "mixed+fusion", "revision+mixed+fusion", "revision+mixed"}


def test_every_claim_compares_scores_that_some_table_makes():
    made = {(r["data"], r["model"]): r["tasks"] for r in reproduce.plan(reproduce.tables(), KINDS, [0])}
    for claim in reproduce.read_toml("claims")["claim"]:
        sides = [claim[side].split() for side in ("better", "worse")]
        assert any(all(task in made.get((kind, model), []) for model, task in sides) for kind in KINDS), claim["name"]


def test_a_plan_holds_a_run_once_and_a_seed_at_a_time():
    runs = reproduce.plan(reproduce.tables(), ["drawn"], [0, 1])
    keys = [(run["seed"], run["model"]) for run in runs]
    assert len(set(keys)) == len(keys) and [seed for seed, _ in keys] == sorted(seed for seed, _ in keys)
    assert all(len(set(run["tasks"])) == len(run["tasks"]) > 0 for run in runs)


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """The files of experiments/ with one small table on few, small drawn eyes."""
    files = {name: reproduce.read_toml(name) for name in ("data", "models", "claims")}
    small = {"draw": {"images": 48, "size": 32, "unseen": 30, "seed": 1}, "model": {"image_size": 32}, "train": {"epochs": 1}}
    files["data"]["fast"] |= small
    files["tiny"] = {
        "title": "A small table",
        "columns": ["odir/zero-shot/names", "odir/tip-adapter/1", "odir/linear-probe/20%", "refuge/zero-shot/both:auc"],
        "models": {"drawn": ["flair", "keepfit"]},
        "paper": {"theirs": [0.5, 0.6]},
    }
    monkeypatch.setattr(reproduce, "read_toml", files.__getitem__)
    monkeypatch.setattr(results, "read_toml", files.__getitem__)
    monkeypatch.setattr(reproduce, "tables", lambda: ["tiny"])
    return files, tmp_path / "out"


def run_tiny(out):
    runs = reproduce.reproduce(["tiny"], out, fast=True, progress=False)
    results.write_table("tiny", out)
    return runs


def test_a_table_from_nothing_then_nothing_is_done_twice(tiny, monkeypatch):
    files, out = tiny
    run_tiny(out)
    paths = sorted((out / "runs").iterdir())
    assert [p.name for p in paths] == ["fast-flair-seed0.json", "fast-keepfit-seed0.json"]
    run, table = json.loads(paths[1].read_text()), json.loads((out / "tiny.json").read_text())
    assert set(run["scores"]) == {c.partition(":")[0] for c in files["tiny"]["columns"]}
    assert len(run["truth"]["odir"]) == len(run["scores"]["odir/zero-shot/names"]["guess"]) == 30
    assert [len(fold) for fold in run["scores"]["odir/tip-adapter/1"]["guess"]] == [6] * 5
    assert [row["variant"] for row in table["rows"]] == ["public-only", "revision+mixed"]
    assert all(0 <= row[c] <= 1 for row in table["rows"] for c in files["tiny"]["columns"])
    assert "*paper: theirs*" in (out / "tiny.md").read_text()

    before = [p.stat().st_mtime_ns for p in paths]
    monkeypatch.setattr(reproduce, "pretrain", lambda *a, **k: pytest.fail("trained again"))
    monkeypatch.setattr(reproduce, "score_task", lambda *a, **k: pytest.fail("scored again"))
    run_tiny(out)
    assert [p.stat().st_mtime_ns for p in paths] == before


def test_a_new_column_is_scored_without_training_and_new_settings_are_trained(tiny, monkeypatch):
    files, out = tiny
    run_tiny(out)
    trained, scored = [], []
    pretrain, score_task = reproduce.pretrain, reproduce.score_task
    monkeypatch.setattr(reproduce, "pretrain", lambda *a, **k: trained.append(k["resume"]) or pretrain(*a, **k))
    monkeypatch.setattr(reproduce, "score_task", lambda *a, **k: scored.append(a[1]) or score_task(*a, **k))
    files["tiny"]["columns"].append("fives/zero-shot/both")
    run_tiny(out)
    assert scored == ["fives/zero-shot/both"] * 2 and trained == [True, True]  # a finished run comes back as it is
    seconds = json.loads((out / "runs" / "fast-flair-seed0.json").read_text())["pretrain_seconds"]
    assert seconds > 0
    files["models"]["keepfit"] |= {"train": {"revision_weight": 3.0}}
    run_tiny(out)
    assert trained[2:] == [False] and len(scored) == 2 + 5


def test_an_interruption_loses_at_most_one_run(tiny, monkeypatch):
    files, out = tiny
    pretrain = reproduce.pretrain

    def stopped(model_config, train_config, *rest, **settings):
        if train_config.variant == "revision+mixed":
            raise KeyboardInterrupt
        return pretrain(model_config, train_config, *rest, **settings)

    monkeypatch.setattr(reproduce, "pretrain", stopped)
    with pytest.raises(KeyboardInterrupt):
        run_tiny(out)
    first = out / "runs" / "fast-flair-seed0.json"
    assert [p.name for p in (out / "runs").iterdir()] == [first.name]
    before = first.stat().st_mtime_ns
    monkeypatch.setattr(reproduce, "pretrain", pretrain)
    run_tiny(out)
    assert first.stat().st_mtime_ns == before and (out / "runs" / "fast-keepfit-seed0.json").is_file()


def test_the_public_set_as_expert_side_names_nothing_that_is_withheld(drawn, tmp_path):
    reproduce.public_as_expert(drawn["public"], ["glaucoma"], tmp_path / "expert_public.csv")
    public = kf.read_manifest(drawn["public"])
    expert = kf.read_manifest(tmp_path / "expert_public.csv", "text", root=drawn["public"].parent)
    kept = public[[labels != ["glaucoma"] for labels in public["labels"]]]
    assert 0 < len(expert) == len(kept) < len(public)
    assert not expert["text"].str.contains("glaucoma").any() and expert["text"].str.startswith("A fundus photograph of").all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["reproduce", "table-9"], "few-zero-shot"), (["reproduce", "ablation", "--seeds", "-1"], "seeds")],
)
def test_bad_input_is_named(arguments, message, capsys):
    try:
        code = main(arguments)
    except SystemExit as error:
        code = error.code
    assert code == 2 and message in capsys.readouterr().err


def test_real_photographs_without_their_folder_are_refused(monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("KEEPFIT_DATA", raising=False)
    assert main(["reproduce", "ablation", "--data", "real-frozen", "--out", str(tmp_path)]) == 2
    assert "KEEPFIT_DATA" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main(["reproduce", "ablation", "--fast", "--out", str(tmp_path / "file")]) == 2
    assert "give --out a folder" in capsys.readouterr().err
