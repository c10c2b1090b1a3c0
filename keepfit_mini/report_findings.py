"""What an angiogram's report says, as findings: read_findings(text); and how right it is: clinical_score(written, true).

Word overlap (BLEU, CIDEr) hardly notices "no" or another quadrant; this asks which findings are named, at the right place, of the
right severity. Rules over sentences and their clauses, with all words in one table; made for drawn reports (whose truth is
known) and for what a model writes after them, broken sentences included. Paper section 3.4 has no such score.
Not about: words of reports that are scored as words, or how reports are drawn (drawn_studies.py). Not for clinical use.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from .config import InputError
from .phantom import FINDINGS, Finding

# What each thing is called; regular expressions over lower case. Report phrasings and other words in use.
WORDS = {
    "en": {
        "finding": {
            "microaneurysms": r"\bmicro-?\s?aneur[iy]sm\w*"
                              r"|(?:pin-?point|punctate|bright|hyperfluorescent|tiny)(?: \w+){0,2} (?:dot|point)s?\b",
            "leakage": r"\bleak\w*|\bextravasat\w*|\boozing\b",
            "staining": r"(?<!disc )(?<!disk )\bstain\w*|\bhyperfluorescent patch\w*|\btissue takes up dye",
            "non-perfusion": r"\bnon-?\s?perfus\w+|\bnot perfused|\bcapillary (?:drop-?\s?out|closure|loss|fall-?\s?out)\w*"
                             r"|\bischa?emi\w+"
                             r"|\b(?:no|without|lack of|lacks|loss of|absence of|absent|missing)"
                             r" (?:any |visible |the )?capillar(?:y bed|ies)"
                             r"|\bcapillaries (?:are |is )?(?:missing|absent|lost|closed)",
            "neovascularisation": r"\bneo-?\s?vascula\w+|\bnew(?:ly formed)? (?:\w+ ){0,2}vessels?\b|\bnv[de]?\b"
                                  r"|\bvascular (?:frond|tuft)s?\b|\bproliferating vessels?\b",
        },
        "place": {
            "superotemporal": r"\bsupero-?\s?temporal\w*|\b(?:superior|upper)[ -]temporal|\btemporal (?:superior|upper)",
            "inferotemporal": r"\binfero-?\s?temporal\w*|\b(?:inferior|lower)[ -]temporal|\btemporal (?:inferior|lower)",
            "superonasal": r"\bsupero-?\s?nasal\w*|\b(?:superior|upper)[ -]nasal|\bnasal (?:superior|upper)",
            "inferonasal": r"\binfero-?\s?nasal\w*|\b(?:inferior|lower)[ -]nasal|\bnasal (?:inferior|lower)",
            "macula": r"\bmacula\w*|\b(?:para|peri|juxta)?fovea\w*",
            "disc": r"\b(?:optic )?dis[ck]\b|\boptic nerve(?: head)?|\bpapilla\w*|\bnvd\b",
        },
        "severity": {
            "mild": r"\bmild\w*|\bslight\w*|\bsmall(?! (?:\w+ )?(?:dot|point|vessel|spot))"
                    r"|\bfew\b|\blimited\b|\bminimal\w*|\bminor\b|\bsparse\w*",
            "moderate": r"\bmoderate\w*|\bmedium\b|\bseveral\b|\bintermediate\b",
            "severe": r"\bsevere\w*|\bmarked\w*|\blarge(?! (?:\w+ )?(?:vessel|vein|arter))|\bwide(?:spread)?\b"
                      r"|\bextensive\w*|\bnumerous\b|\bmany\b|\bmassive\w*|\bpronounced\b|\babundant\w*|\bcountless\b",
        },
        # "does not spread" and "no change" deny growth, not the finding
        "no": r"(?:\bno|\bnot|\bnor|\bneither|\bwithout|\bcannot|n't)\b"
              r"(?! (?:\w+ ){0,2}(?:spread|grow|chang|increas|enlarg|blur|fad|extend|mov))"
              r"|\babsen(?:t|ce)\b|\bfree of\b|\bnever\b|\black(?:s|ing)?\b|\bruled out\b|\bnegative for\b",
        "clause": r"[,:]|(?=;)|\band\b|(?=\bwith\b)|\bas well as\b|\bplus\b"
                  r"|(?=\b(?:without(?! (?:any |visible )?capillar)|but|while|whereas|however)\b)",
        "sentence": r"[.!?]+(?=\s|$)|\n",
        "anew": r"\s*(?:;|but|while|whereas|however)|.*\bthere (?:is|are)\b",  # a list that "no" began is over
        "noun": r"leakage|extravasation",
        "back": r"\b(?:they|these|those|it|this)\b",
    },
    "zh": {
        "finding": {
            "microaneurysms": "微血管瘤|微动脉瘤|点状(?:强|高)荧光|针尖样(?:亮点|荧光|强荧光)",
            "leakage": "渗漏|外渗|漏出|染料渗",
            "staining": "着染|染色|片状(?:强|高)荧光|(?:强|高)荧光斑",
            "non-perfusion": "无灌注|非灌注|未灌注|灌注缺损|毛细血管(?:缺失|闭塞|闭锁|不充盈|未充盈|消失|缺如|丢失)|缺血区",
            "neovascularisation": "新生的?血管|增殖血管",
        },
        "place": {
            "superotemporal": "颞侧?上|上颞", "inferotemporal": "颞侧?下|下颞", "superonasal": "鼻侧?上|上鼻",
            "inferonasal": "鼻侧?下|下鼻", "macula": "黄斑|中心凹|拱环", "disc": "视盘|视乳头|视神经",
        },
        "severity": {
            "mild": "轻度|轻微|少量|少许|小片|小范围|小的|小灶|稀疏|几个",
            "moderate": "中度|中等|多个|若干|数个",
            "severe": "重度|严重|显著|大量|大片|大范围|大面积|大的|密集|广泛|许多|众多",
        },
        "no": "(?:未(?:见|发现|查见|出现|探及|显示|有)|无(?!灌注)|没有|不伴|排除|不存在)"
              "(?!(?:明显)?(?:扩大|增大|变化|改变|增强|扩散))",
        "clause": "[，,：:]|(?=[；;])|(?<!不)伴|并|(?=但|而)",
        "sentence": "[。！？!?]+|\\n",
        "anew": r"\s*(?:[；;但而]|可见|见|有)|.*(?<![未不])(?:可见|见有)",
        "noun": "渗漏(?!的)|外渗(?!的)",
        "back": "其(?!余)|该",
    },
}


@dataclass(frozen=True)
class Mention:
    """A finding as one clause names it; severity and place are "" where the clause does not say."""

    name: str
    severity: str = ""
    place: str = ""
    noun: bool = True  # "leakage" rather than "leaks", "with leakage": a thing of its own, not what new vessels do


def read_findings(text: str, language: str = "en") -> tuple[Finding, ...]:
    """Report -> the findings that it says are there, in the order of phantom.FINDINGS; severity or place "" if it does not say.

    A finding named again is one finding, unless at another place. What is denied does not count, and leaking new vessels are
    no leakage. A text of any other kind gives (). InputError: another language than "en" and "zh".
    """
    if language not in WORDS:
        raise InputError(f"read_findings: language {language!r} must be en or zh")
    words, known, before = WORDS[language], [], ""
    for sentence in re.split(words["sentence"], text.lower()):
        mentions = absorbed(list(mentions_in(sentence, words)), before if re.search(words["back"], sentence) else "")
        before = mentions[-1].name if mentions else ""
        for mention in mentions:
            same = [i for i, k in enumerate(known) if k.name == mention.name and "" in (k.place, mention.place)
                    or (k.name, k.place) == (mention.name, mention.place)]  # fmt: skip
            if same:
                old = known[same[0]]
                known[same[0]] = replace(old, severity=old.severity or mention.severity, place=old.place or mention.place)
            else:
                known.append(mention)
    order = FINDINGS["FFA"].index
    return tuple(Finding(m.name, m.severity, m.place) for m in sorted(known, key=lambda m: (order(m.name), m.place)))


def found(kind: str, text: str, words: dict) -> list[tuple[int, int, str]]:
    """Where a text names findings, places or severities: (begin, end, which), in the text's order."""
    return sorted((m.start(), m.end(), name) for name, pattern in words[kind].items() for m in re.finditer(pattern, text))


def mentions_in(sentence: str, words: dict) -> Iterator[Mention]:
    """A sentence -> its mentions. A clause without a finding tells of the one before it, or else of the one to come."""
    last, waiting, denied, ended = None, {}, False, False
    for clause in re.split(words["clause"], sentence):
        named = found("finding", clause, words)
        rest = clause
        for begin, end, _ in named:  # "without capillaries" is a finding: its "without" denies nothing
            rest = rest[:begin] + "#" * (end - begin) + rest[end:]
        says = {kind: [name for _, _, name in found(kind, rest, words)] for kind in ("severity", "place")}
        if re.match(words["anew"], clause) or says["severity"] or ended:
            denied = False
        denied = denied or bool(re.search(words["no"], rest))
        ended = denied and bool(says["place"])  # "no leakage or staining at the disc": the place ends the list that "no" began
        if denied and named:
            if last is not None and not last.place and says["place"]:  # "microaneurysms without leakage in the macula"
                last = replace(last, place=says["place"][0])
            continue
        if not named:
            for kind in [kind for kind in says if says[kind]]:
                if last is not None and not getattr(last, kind):
                    last = replace(last, **{kind: says[kind][0]})
                else:
                    waiting[kind] = says[kind][0]
            continue
        shared = ""
        for begin, end, name, noun in pieces(clause, named, words):
            if last is not None:
                yield last
            told = dict(waiting)
            waiting = {}
            for kind in says:
                names = [name for _, _, name in found(kind, (clause if kind == "place" else rest)[begin:end], words)]
                if names:
                    told[kind] = names[0]
                if len(set(names)) > 1:  # "in the macula leakage, in the upper nasal retina staining", without the comma
                    waiting[kind] = names[-1]
            told["place"] = told.get("place") or shared
            shared = told["place"]
            last = Mention(name, noun=noun, **told)
    if last is not None:
        yield last


def pieces(clause: str, named: Sequence[tuple[int, int, str]], words: dict) -> Iterator[tuple[int, int, str, bool]]:
    """A clause -> (begin, end, finding, whether a noun) for each finding that it names, cut behind the place that follows it."""
    ends = []
    for (_, end, _), (begin, _, _) in pairwise(named):
        places = found("place", clause[end:begin], words) if begin > end else []
        ends.append(end + places[0][1] if places else end)
    starts = [0, *ends]
    for start, stop, (begin, end, name) in zip(starts, [*ends, len(clause)], named, strict=True):
        noun = re.match(words["noun"], clause[begin : end + 1]) and not clause.strip().startswith("with ")
        yield start, stop, name, bool(noun)


def absorbed(mentions: list[Mention], before: str) -> list[Mention]:
    """A sentence's mentions; what new vessels do ("leak") told with them, and places that a later finding shares filled in.

    before  the finding that a pronoun of this sentence stands for
    """
    kept = []
    for mention in mentions:
        vessels = [m for m in mentions if m.name == "neovascularisation"]
        same_place = vessels and (mention.place in ("", vessels[0].place) or not mention.noun and not vessels[0].place)
        if mention.name == "leakage" and same_place and (not mention.noun or vessels[0] in kept):
            mentions = [fill(m, mention) if m is vessels[0] else m for m in mentions]
            kept = [fill(m, mention) if m is vessels[0] else m for m in kept]
        elif not (mention.name == "leakage" and not mention.place and before == "neovascularisation"):
            kept.append(mention)
    for i in range(len(kept) - 2, -1, -1):
        if not kept[i].place:  # "microaneurysms and leakage in the macula"
            kept[i] = replace(kept[i], place=kept[i + 1].place)
    return kept


def fill(mention: Mention, other: Mention) -> Mention:
    return replace(mention, severity=mention.severity or other.severity, place=mention.place or other.place)


# ------------------------------------------------------------------------------------------------------------ the score

# What must agree for a written finding to be right.
KINDS = {"finding": ("name",), "place": ("name", "place"), "severity": ("name", "severity"),
         "exact": ("name", "place", "severity")}


def clinical_score(written: Sequence[Sequence[Finding]], true: Sequence[Sequence[Finding]]) -> dict:
    """Findings written and true, a tuple a study -> {finding_precision, finding_recall, finding_f1, place_..., severity_...,
    exact_..., counts}; micro-averaged: sums over all studies, so a study with nothing written and nothing true has no weight.

    "place" is right if finding and place are, "severity" if finding and severity are, "exact" if all three are. A finding written
    twice counts once, at two places it is two for "place" and "exact".
    counts  {kind: int (3, studies)}: true positives, false positives, misses; `ratios` of resampled columns = a bootstrap
    InputError: other numbers of studies.
    """
    if len(written) != len(true):
        raise InputError(f"clinical_score: {len(written)} written reports, but {len(true)} studies: give one each")
    counts = {}
    for kind, parts in KINDS.items():
        rows = []
        for said, right in zip(written, true, strict=True):
            said, right = ({tuple(getattr(f, part) for part in parts) for f in findings} for findings in (said, right))
            rows.append((len(said & right), len(said - right), len(right - said)))
        counts[kind] = np.array(rows, int).reshape(-1, 3).T
    return {**ratios(counts), "counts": counts}


def ratios(counts: dict[str, np.ndarray]) -> dict[str, float]:
    """{kind: (3, studies)} -> {kind_precision, kind_recall, kind_f1}; nan where nothing was written and nothing true anywhere,
    0 where only one of the two is nothing: a silent model earns no precision."""
    scores = {}
    for kind, table in counts.items():
        hits, false, missed = (float(n) for n in table.sum(1))
        for name, of in (("precision", hits + false), ("recall", hits + missed), ("f1", hits + (false + missed) / 2)):
            scores[f"{kind}_{name}"] = hits / of if of else (0.0 if false + missed else float("nan"))
    return scores
