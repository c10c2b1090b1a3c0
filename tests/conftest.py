"""Shared by all tests: no network, one small drawn data set, one small trained run."""

import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported

import pytest  # noqa: E402

import keepfit_mini as kf  # noqa: E402
from keepfit_mini.drawn_sets import draw_sets  # noqa: E402


@pytest.fixture(scope="session")
def drawn(tmp_path_factory) -> dict[str, Path]:
    """The demo's drawn sets in small: name -> manifest. Read only."""
    return draw_sets(tmp_path_factory.mktemp("drawn"), images=240, size=48, seed=3, progress=False)


@pytest.fixture(scope="session")
def quick() -> tuple[kf.ModelConfig, kf.TrainConfig]:
    """The mini preset at 48 pixels for two epochs."""
    import dataclasses

    model, train = kf.PRESETS["mini"]
    return dataclasses.replace(model, image_size=48), dataclasses.replace(train, epochs=2, seed=5)


@pytest.fixture(scope="session")
def run(drawn, quick, tmp_path_factory) -> Path:
    """A finished run folder of KeepFIT on the small drawn sets. Read only."""
    out = tmp_path_factory.mktemp("runs") / "keepfit"
    kf.pretrain(*quick, drawn["public"], drawn["expert"], out, progress=False)
    return out


@pytest.fixture(scope="session")
def books(tmp_path_factory) -> dict[str, tuple[Path, Path]]:
    """Drawn atlases: name -> (PDF, built folder), each built when it is first asked for. Read only."""
    from atlas_books import Books

    return Books(tmp_path_factory.mktemp("books"))


@pytest.fixture(scope="session")
def own_book(tmp_path_factory) -> tuple[Path, Path]:
    """A small bilingual atlas with two figures of one picture: (PDF, built folder). Read only."""
    from atlas_books import built_from_own

    return built_from_own(tmp_path_factory.mktemp("own"))
