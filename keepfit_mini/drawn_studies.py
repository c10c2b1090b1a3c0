"""Drawn angiogram studies with reports, in the layout of FFA-IR, and an expert side that looks and reads as an atlas does.

A report says in two to five sentences what can be seen in the frames: findings, place, severity and how they change from
phase to phase. It never names a disease. The expert side (single frames of other eyes, other words) is for asking what
expert pretraining brings (paper section 3.4). The sentences were written for this project.
Not here: how a study is drawn (phantom_phases.py), read (studies.py), and how a report is read back (report_findings.py).
"""

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from .captions import caption
from .config import InputError
from .drawn_sets import COLUMNS, _apportion, shuffle_captions
from .phantom import FINDINGS, SEVERITIES, Drawing, Finding
from .phantom_phases import FINDING_PLACES, PHASES, draw_study

SPLITS = {"train": 0.8, "val": 0.1, "test": 0.1}
COUNTS = {0: 0.15, 1: 0.3, 2: 0.35, 3: 0.2}  # findings a study
CAMERAS = {"studies": ("amber", "garnet", "coral", "umber", "pearl", "jade"), "atlas": ("sienna", "amber", "topaz", "slate")}
SHOWN_EARLY = {"non-perfusion", "neovascularisation"}  # the others need a later frame

# By severity, two ways to say it each: (English, Chinese).
STRENGTHS = {
    "count": ((("a few", "少量"), ("several", "多个"), ("numerous", "大量")),
              (("few", "少许"), ("a moderate number of", "中等数量的"), ("very many", "密集的"))),
    "size": ((("small", "小片"), ("medium-sized", "中等大小的"), ("large", "大片")),
             (("limited", "小范围"), ("moderate-sized", "中等范围"), ("wide", "大范围"))),
    "grade": ((("mild", "轻度"), ("moderate", "中度"), ("severe", "重度")),
              (("slight", "轻微"), ("moderate", "中等"), ("marked", "显著"))),
}
PLACES = {
    "macula": (("in the macula", "黄斑区"), ("around the fovea", "中心凹周围")),
    "disc": (("at the optic disc", "视盘处"), ("on the disc", "视盘表面")),
    "superotemporal": (("in the superotemporal quadrant", "颞上象限"), ("along the upper temporal arcade", "颞上血管弓旁")),
    "inferotemporal": (("in the inferotemporal quadrant", "颞下象限"), ("along the lower temporal arcade", "颞下血管弓旁")),
    "superonasal": (("in the superonasal quadrant", "鼻上象限"), ("in the upper nasal retina", "鼻上方视网膜")),
    "inferonasal": (("in the inferonasal quadrant", "鼻下象限"), ("in the lower nasal retina", "鼻下方视网膜")),
}

# (phases that must have been photographed, by their initials; English; Chinese)
SENTENCES = {
    "leakage": (
        ("AL", "{grade} leakage begins {place} in the arteriovenous phase and spreads in the late phase.",
         "动静脉期{place}开始出现{grade}渗漏，晚期范围扩大。"),
        ("AL", "A {size} cloud of leaking dye {place} grows and loses its edge in the late phase.",
         "{place}见{size}荧光渗漏，晚期扩大，边缘模糊。"),
        ("A", "There is {grade} fuzzy leakage of dye {place}.", "{place}可见{grade}弥漫性渗漏。"),
        ("A", "Dye leaks {place}; the leakage is {grade} and has blurred edges.", "{place}染料外渗，渗漏为{grade}，边界模糊。")),
    "staining": (
        ("AL", "{count} sharply bordered patches stain {place} and keep their size up to the late phase.",
         "{place}见{count}边界清楚的着染灶，至晚期大小不变。"),
        ("AL", "{grade} staining {place} stands out in the late phase with sharp edges and does not spread.",
         "{place}{grade}着染，晚期明亮，边缘锐利，不扩大。"),
        ("A", "Staining of {count} well-defined spots is seen {place}.", "{place}可见{count}边界清晰的荧光着染斑。"),
        ("A", "{count} hyperfluorescent patches with sharp edges, a sign of staining, lie {place}.",
         "{place}有{count}边缘锐利的强荧光斑，为组织着染。")),
    "microaneurysms": (
        ("A", "{count} microaneurysms light up {place} as bright dots.", "{place}见{count}微血管瘤，呈明亮点状荧光。"),
        ("EA", "{count} bright dots, microaneurysms, fill {place} from the arteriovenous phase on.",
         "动静脉期起{place}出现{count}点状强荧光，为微血管瘤。"),
        ("AL", "{count} microaneurysms shine {place} in the arteriovenous phase and are fainter in the late phase.",
         "{place}{count}微血管瘤于动静脉期最亮，晚期减弱。"),
        ("A", "There are {count} punctate hyperfluorescent microaneurysms {place}.", "{place}可见{count}点状高荧光微血管瘤。")),
    "neovascularisation": (
        ("EAL", "A {size} lace of new vessels appears early {place} and leaks in the late phase.",
         "早期{place}即见{size}新生血管网，晚期染料外渗。"),
        ("A", "{grade} neovascularisation with looping vessels and a halo of dye is present {place}.",
         "{place}可见{grade}新生血管，血管襻周围有荧光晕。"),
        ("AL", "New vessels, {grade} in extent, grow {place}; in the late phase leaking dye hides them.",
         "{place}有新生血管生长，程度为{grade}，晚期被渗漏的染料遮盖。"),
        ("EA", "A {size} tuft of new vessels is seen {place} from the early phase on.", "自早期起{place}可见{size}新生血管丛。")),
    "non-perfusion": (
        ("EAL", "A {size} area of non-perfusion {place} stays dark in every phase.", "{place}见{size}无灌注区，各期均为暗区。"),
        ("A", "{grade} capillary non-perfusion is seen {place}, bordered by pruned vessels.",
         "{place}可见{grade}毛细血管无灌注，边缘血管呈残端。"),
        ("AL", "A {size} dark zone {place} has no capillaries and remains dark in the late phase.",
         "{place}见{size}暗区，毛细血管缺失，晚期仍为弱荧光。"),
        ("A", "Capillaries are missing {place} over a {size} area, a sign of non-perfusion.",
         "{place}{size}毛细血管不充盈，提示无灌注。")),
}
OPENINGS = (
    ("EA", "{side} eye: arteries fill in the early phase and veins follow in the arteriovenous phase.",
     "{side}眼：早期动脉充盈，动静脉期静脉随之充盈。"),
    ("A", "Angiogram of the {side} eye with even filling of the large vessels.", "{side}眼造影，大血管充盈均匀。"),
    ("EAL", "The {side} eye was followed from the early to the late phase.", "{side}眼自早期至晚期连续造影。"),
    ("A", "In the {side} eye arteries and veins fill well.", "{side}眼动静脉充盈良好。"))
HEALTHY = (
    ("A", "No microaneurysms, leakage or areas of non-perfusion are seen.", "未见微血管瘤、渗漏及无灌注区。"),
    ("A", "The macula is dark and the capillaries around it are complete.", "黄斑区呈暗区，周围毛细血管完整。"),
    ("AL", "In the late phase the vessels fade evenly and no dye leaks out.", "晚期血管荧光均匀减弱，未见染料外渗。"),
    ("A", "No abnormal fluorescence is seen at the disc or in the macula.", "视盘及黄斑未见异常荧光。"))
ENDINGS = (("A", "The rest of the retina fills evenly.", "其余视网膜充盈均匀。"),
           ("A", "Elsewhere no abnormal fluorescence is seen.", "其余部位未见异常荧光。"),
           ("A", "There is no sign of {absent}.", "未见{absent}。"), ("A", "No {absent} can be found.", "未发现{absent}。"))
ABSENT = {"microaneurysms": ("microaneurysms", "微血管瘤"), "neovascularisation": ("new vessels", "新生血管"),
          "leakage": ("leakage", "渗漏"), "staining": ("staining", "着染"),
          "non-perfusion": ("non-perfusion", "无灌注区")}
ATLAS_PHASES = {"early": ("Early phase.", "早期像。"), "arteriovenous": ("Arteriovenous phase.", "动静脉期像。"),
                "late": ("Late phase.", "晚期像。")}
LONG = 60  # words, beyond which a report gets no closing sentence


def write_report(findings, phases, eye, seed=0):
    """(English, Chinese) report on a study, saying the same: 2 to 5 sentences, English of 15 to 70 words.

    findings  as drawn; the strongest comes first
    phases    those photographed: no other one is spoken of. eye: "right" or "left"; seed: the phrasing
    """
    rng = np.random.default_rng([seed, 6])
    initials = {phase[0].upper() for phase in phases}
    sentences = []

    def say(options, **words):
        """One of the options that need no other phases; words: (English, Chinese) each."""
        possible = [texts for needs, *texts in options if set(needs) <= initials]
        texts = possible[rng.integers(len(possible))]
        filled = [text.format(**{k: pair[i] for k, pair in words.items()}) for i, text in enumerate(texts)]
        sentences.append((filled[0][:1].upper() + filled[0][1:], filled[1]))

    def either(pairs):
        return pairs[rng.integers(2)]

    say(OPENINGS, side=(eye, {"right": "右", "left": "左"}[eye]))
    for f in sorted(findings, key=lambda f: -SEVERITIES.index(f.severity)):
        level = SEVERITIES.index(f.severity)
        say(SENTENCES[f.name], place=either(PLACES[f.place]), **{k: either(ways)[level] for k, ways in STRENGTHS.items()})
    if not findings:
        possible = [option for option in HEALTHY if set(option[0]) <= initials]
        for i in rng.permutation(len(possible))[: rng.integers(2, 4)]:
            say(possible[i : i + 1])
    elif rng.random() < 0.5 and sum(len(english.split()) for english, _ in sentences) <= LONG:
        names = {f.name for f in findings} | ({"leakage"} if "neovascularisation" in {f.name for f in findings} else set())
        others = [pair for name, pair in ABSENT.items() if name not in names]  # new vessels leak: then "no leakage" is untrue
        say(ENDINGS, absent=others[rng.integers(len(others))])
    return " ".join(english for english, _ in sentences), "".join(chinese for _, chinese in sentences)


def _chosen(rng, count):
    """`count` findings in the order of phantom.FINDINGS, no two at one place; severity and place by chance alone."""
    names = sorted(rng.choice(len(FINDINGS["FFA"]), count, replace=False))
    while True:
        places = [FINDING_PLACES[name][rng.integers(len(FINDING_PLACES[name]))] for name in (FINDINGS["FFA"][i] for i in names)]
        if len(set(places)) == count:
            break
    return tuple(Finding(FINDINGS["FFA"][i], SEVERITIES[rng.integers(3)], place) for i, place in zip(names, places, strict=True))


def plan(studies=3000, seed=0):
    """(studies, frames of the atlas) to be drawn, as lists of dicts with id or file, findings, camera, seed, ...."""
    rng = np.random.default_rng([seed, 20])
    counts = rng.permutation([n for n, times in _apportion(COUNTS, studies).items() for _ in range(times)])
    splits = rng.permutation([split for split, times in _apportion(SPLITS, studies).items() for _ in range(times)])
    rows = [{"id": f"study{i + 1:05d}", "split": str(split), "findings": _chosen(rng, count),
             "camera": str(rng.choice(CAMERAS["studies"])), "seed": int(rng.integers(1 << 31))}
            for i, (count, split) in enumerate(zip(counts, splits, strict=True))]
    rng = np.random.default_rng([seed, 21])
    frames = max(12, studies // 5)
    counts = rng.permutation([n for n, times in _apportion(COUNTS, frames).items() for _ in range(times)])
    atlas = []
    for i, count in enumerate(counts):
        findings = _chosen(rng, count)
        early = bool(findings) and {f.name for f in findings} <= SHOWN_EARLY
        atlas.append({"file": f"images/atlas/{i + 1:05d}.jpg", "findings": findings, "phase": str(rng.choice(PHASES[not early:])),
                      "camera": str(rng.choice(CAMERAS["atlas"])), "seed": int(rng.integers(1 << 31))})
    return rows, atlas


def _save(image, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.convert("L").save(path, quality=95)


def _case(row, folder, size, views):
    """Draw a study's frames into folder/images; returns its case for the annotation."""
    study = draw_study(row["findings"], row["seed"], size, views, row["camera"])
    names = [f"{row['id']}/{i}.jpg" for i in range(1, views + 1)]
    for name, frame in zip(names, study.frames, strict=True):
        _save(frame, folder / "images" / name)
    english, chinese = write_report(study.findings, study.phases, study.eye, row["seed"])
    return {"En_Report": english, "Zh_Report": chinese, "Image_path": names, "Phases": list(study.phases),
            "Findings": [{"name": f.name, "severity": f.severity, "place": f.place} for f in study.findings]}


def _atlas_row(row, folder, size):
    """Draw a frame of the atlas; returns its row for the manifest."""
    study = draw_study(row["findings"], row["seed"], size, camera=row["camera"], phases=(row["phase"],))
    _save(study.frames[0], folder / row["file"])
    drawing = Drawing(study.frames[0], "FFA", "", study.findings, study.camera, study.eye)
    english, chinese = (caption(drawing, language, seed=row["seed"]) for language in ("en", "zh"))
    phase, phase_zh = ATLAS_PHASES[row["phase"]]
    return {"image": row["file"], "modality": "FFA", "label": "", "text": f"{phase} {english}", "text_zh": phase_zh + chinese,
            "source": "drawn angiogram atlas", "split": "train", "drawn_category": ";".join(f.name for f in study.findings),
            "findings": ";".join(f"{f.name}:{f.severity}:{f.place}" for f in study.findings), "camera": study.camera,
            "phase": row["phase"]}


def draw_studies(out, studies=3000, size=64, seed=0, views=3, progress=True):
    """Draw studies and an atlas into the folder `out`; returns paths: annotation, images, expert, expert_shuffled.

    studies  at least 10, an eye each: 80% train, 10% val, 10% test; a fifth as many frames of other eyes in the atlas
    size     pixels a side; views: frames a study (phantom_phases.phases_of); seed: same seed, same files
    annotation.json has FFA-IR's layout and, beside it, each case's Findings and Phases; pictures in images/<case>/<n>.jpg.
    Studies of an earlier call are replaced; until all is drawn, `out` is left as it was.
    InputError: studies < 10, size < 16, seed < 0, views < 1, or an `out` that is a file.
    """
    out = Path(out)
    if studies < 10 or size < 16 or seed < 0 or views < 1:
        raise InputError(f"draw_studies: studies {studies}, size {size}, seed {seed}, views {views} must reach 10, 16, 0, 1")
    if out.exists() and not out.is_dir():
        raise InputError("is a file: give a folder to write to", out)
    rows, atlas = plan(studies, seed)
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        bar = tqdm(total=len(rows) + len(atlas), desc="drawing", unit="study", disable=not progress)
        annotation = {split: {} for split in SPLITS}
        for row in rows:
            annotation[row["split"]][row["id"]] = _case(row, folder, size, views)
            bar.update()
        table = []
        for row in atlas:
            table.append(_atlas_row(row, folder, size))
            bar.update()
        bar.close()
        expert = pd.DataFrame(table)[[*COLUMNS, "phase"]]
        order = shuffle_captions(expert["drawn_category"], np.random.default_rng([seed, 9]))
        texts = expert[["text", "text_zh"]].iloc[order].reset_index(drop=True)
        expert.to_csv(folder / "expert.csv", index=False)
        expert.assign(text=texts["text"], text_zh=texts["text_zh"]).to_csv(folder / "expert_shuffled.csv", index=False)
        (folder / "annotation.json").write_text(json.dumps(annotation, ensure_ascii=False, indent=1), encoding="utf-8")
        (out / "images").mkdir(parents=True, exist_ok=True)
        for old in [*(out / "images").glob("study[0-9][0-9][0-9][0-9][0-9]"), *(out / "images").glob("atlas")]:
            shutil.rmtree(old)
        for new in (folder / "images").iterdir():
            new.replace(out / "images" / new.name)
        for name in ("annotation.json", "expert.csv", "expert_shuffled.csv"):
            (folder / name).replace(out / name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {"annotation": out / "annotation.json", "images": out / "images", "expert": out / "expert.csv",
            "expert_shuffled": out / "expert_shuffled.csv"}
