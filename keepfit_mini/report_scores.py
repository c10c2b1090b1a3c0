"""How near written angiogram reports come to the true ones in words: BLEU, METEOR, ROUGE-L, CIDEr (the paper's FFA-IR task).

The scores of the "coco caption" evaluation, one true report for each written one: equal to pycocoevalcap 1.2 to 1e-3, but for
METEOR (see METEOR_NOTE). That package itself is no dependency: it weighs 101 MB, wants Java for half of its scores, and its
BLEU is "not for commercial use". Not about: whether the findings are right, which another score counts.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import snowballstemmer
from rapidfuzz.distance import LCSseq
from sacrebleu.metrics import BLEU

from .config import InputError
from .report_vocabulary import HAN

SCORES = ("bleu1", "bleu2", "bleu3", "bleu4", "meteor", "rouge_l", "cider")
METEOR_NOTE = (
    "METEOR: version 1.5 with its English parameters, exact words and stems only, without its synonyms (WordNet) and"
    " paraphrase table: usually lower than the Java program's."
)

# METEOR 1.5, task "rank", the one that coco caption runs (Denkowski & Lavie 2014): recall's part, shape and size of the penalty
# for broken order, what a content word counts (a function word: the rest), what a match by stem counts (an exact one: 1).
ALPHA, BETA, GAMMA, DELTA, STEM_WEIGHT = 0.85, 0.2, 0.6, 0.75, 0.6
BEAM = 40  # alignments kept, as in METEOR
# Words that carry grammar. METEOR's own list, the frequent words of newspapers, also has `said`, `year`, `people`.
FUNCTION_WORDS = frozenset(
    "a after all also an and are as at be been but by can for from had has have if in into is it its no not of on or other out"  # noqa: SIM905
    " over so some than that the their there they this to up was we were when which who will with would 's".split()
)
ROUGE_BETA = 1.2  # weighs recall over precision
CIDER_WIDTH = 6.0  # of the Gaussian that punishes another length, in words

LETTER, LETTERS = rf"[^\W\d_{HAN}]", rf"[^\W_{HAN}]+"
NUMBER, WORD = r"\d+(?:[.,/]\d+)*", rf"{LETTER}(?:{LETTERS})?(?:-{LETTERS})*"
PATTERNS = {
    "en": re.compile(rf"{NUMBER}|{WORD}|[{HAN}]+|'s\b|[%+<>=]"),
    "zh": re.compile(rf"{NUMBER}|{WORD}|[{HAN}]|[%+<>=]"),
}
SAME = str.maketrans({"\u2018": "'", "\u2019": "'", "\u2010": "-", "\u2011": "-", "\u2013": "-", "\u2212": "-"})


def words(text: str, language: str = "en") -> list[str]:
    """A report -> its words, lower case, without punctuation; language "zh": each Chinese character is a word.

    Numbers (0.5, 20/40) and hyphened words stay whole, in Chinese text as well; 's, % and + < > = are words of their own.
    As the reference's tokenizer (Penn Treebank, punctuation removed), but brackets are dropped, which that one keeps by mistake,
    and abbreviations lose their full stops. Other widths and forms of a character (NFKC), of a quote or a hyphen are made one.
    Words joined by spaces are split the same again. R2Gen's own tables count each full stop as a word, which lifts their BLEU.
    InputError: a language not known.
    """
    if language not in PATTERNS:
        raise InputError(f"reports in {language!r} cannot be scored: give one of {', '.join(PATTERNS)}")
    return PATTERNS[language].findall(unicodedata.normalize("NFKC", text).lower().translate(SAME))


def score_reports(written: Sequence[str], true: Sequence[str], language: str = "en") -> dict[str, float]:
    """N written reports and the true ones -> each of SCORES for all of them together; in 0..1, cider in 0..10.

    bleu1..4  of the summed counts, not smoothed; 0 where nothing has n words in a row right
    meteor    of the summed counts, as coco caption does; exact words and stems only, see METEOR_NOTE
    rouge_l, cider  means of the values of score_each()
    An empty written report counts as nothing right. One report alone, or true reports that are all the same, have a cider
    of 0, however good: it weighs words by how few true reports have them. InputError: none, other numbers of reports, a
    true report without a word (says which, counted from 1), not text.
    """
    pairs = paired(written, true, language)
    bleu = bleus([ours for ours, _ in pairs], [theirs for _, theirs in pairs])
    meteor = float(meteor_score(np.sum([meteor_counts(*pair) for pair in pairs], axis=0)))
    rouge_l = float(np.mean([rouge_l_score(*pair) for pair in pairs]))
    return dict(zip(SCORES, (*bleu, meteor, rouge_l, float(cider_scores(pairs).mean())), strict=True))


def score_each(written: Sequence[str], true: Sequence[str], language: str = "en") -> dict[str, np.ndarray]:
    """The same for each report by itself: bleu4, meteor, rouge_l, cider, each (N,); for intervals over reports.

    The means of rouge_l and cider are what score_reports() gives; those of bleu4 and meteor are not: there it sums the counts
    of all reports first. bleu4 is not smoothed: 0 for a report without four words in a row right (the reference gives one of
    fewer than four words up to 0.03). cider's word weights come from all N true reports: some of them scored without the rest
    have other values.
    """
    pairs = paired(written, true, language)
    return {
        "bleu4": np.array([bleus([ours], [theirs])[3] for ours, theirs in pairs]),
        "meteor": np.array([meteor_score(meteor_counts(*pair)) for pair in pairs]),
        "rouge_l": np.array([rouge_l_score(*pair) for pair in pairs]),
        "cider": cider_scores(pairs),
    }


def paired(written: Sequence[str], true: Sequence[str], language: str) -> list[tuple[list[str], list[str]]]:
    """Words of each written and its true report. InputError as in score_reports()."""
    if isinstance(written, str) or isinstance(true, str):
        raise InputError("one text where a list of reports is wanted: put it into a list")
    if len(written) != len(true):
        raise InputError(f"{len(written)} written reports but {len(true)} true ones: give one true report for each")
    if not len(true):
        raise InputError("no reports to score: give at least one")
    for kind, reports in (("written", written), ("true", true)):
        for number, report in enumerate(reports, 1):
            if not isinstance(report, str):
                raise InputError(f"{kind} report {number} is not text but {type(report).__name__}: mend or drop the study")
    pairs = [(words(ours, language), words(theirs, language)) for ours, theirs in zip(written, true, strict=True)]
    for number, (_, theirs) in enumerate(pairs, 1):
        if not theirs:
            raise InputError(f"true report {number} has no words, nothing can be scored against it: drop the study")
    return pairs


def bleus(written: list[list[str]], true: list[list[str]]) -> list[float]:
    """BLEU-1, -2, -3, -4 of summed counts (sacrebleu, no smoothing)."""
    metric = BLEU(tokenize="none", smooth_method="none", force=True)  # our words; force: no advice on tokens
    found = metric.corpus_score([" ".join(report) for report in written], [[" ".join(report) for report in true]])
    precisions = np.array(found.precisions) / 100
    return [float(found.bp * precisions[:n].prod() ** (1 / n)) for n in (1, 2, 3, 4)]


def rouge_l_score(written: list[str], true: list[str]) -> float:
    """ROUGE-L: F of the longest common subsequence, recall weighed ROUGE_BETA times."""
    common = LCSseq.similarity(written, true)
    if not common:
        return 0.0
    precision, recall = common / len(written), common / len(true)
    return (1 + ROUGE_BETA**2) * precision * recall / (recall + ROUGE_BETA**2 * precision)


def cider_scores(pairs: list[tuple[list[str], list[str]]]) -> np.ndarray:
    """CIDEr of each pair, (N,), 0..10: the mean over n = 1..4 of how alike weighed n-grams are (Vedantam et al. 2015).

    As pycocoevalcap's `Cider`: counts clipped, Gaussian of the difference in length. Written here since no package on PyPI has
    it without Java, a model or the reference's weight.
    """
    holders = Counter(gram for _, true in pairs for gram in {gram for size in ngrams(true) for gram in size})

    def weighed(report: list[str]) -> list[dict[tuple[str, ...], float]]:
        return [{gram: k * math.log(len(pairs) / max(1, holders[gram])) for gram, k in size.items()} for size in ngrams(report)]

    scores = []
    for written, true in pairs:
        alike = 0.0
        for ours, theirs in zip(weighed(written), weighed(true), strict=True):
            length = math.hypot(*ours.values()) * math.hypot(*theirs.values())
            if length:
                alike += sum(min(weight, theirs.get(gram, 0.0)) * theirs.get(gram, 0.0) for gram, weight in ours.items()) / length
        longer = max(0, len(written) - 1) - max(0, len(true) - 1)  # the reference counts word pairs
        scores.append(10 * alike / 4 * math.exp(-(longer**2) / (2 * CIDER_WIDTH**2)))
    return np.array(scores)


def ngrams(report: list[str]) -> list[Counter[tuple[str, ...]]]:
    """How often each run of 1, 2, 3 and 4 words stands in a report: four counters."""
    return [Counter(tuple(report[i : i + n]) for i in range(len(report) - n + 1)) for n in (1, 2, 3, 4)]


def meteor_score(counts: np.ndarray) -> float:
    """meteor_counts(), of one pair or summed over pairs, -> METEOR."""
    ours, all_ours, theirs, all_theirs, chunks, matches = counts
    if not matches:
        return 0.0
    precision, recall = ours / all_ours, theirs / all_theirs
    mean = precision * recall / (ALPHA * precision + (1 - ALPHA) * recall)
    return float(mean * (1 - GAMMA * (chunks / matches) ** BETA))


def meteor_counts(written: list[str], true: list[str]) -> np.ndarray:
    """(6,): matched and total weight of the written words, of the true words, chunks, matches. Summed, they score a corpus."""

    def weight(word: str) -> float:
        return 1 - DELTA if word in FUNCTION_WORDS else DELTA

    matches = aligned(written, true)
    sure = [1.0 if written[i] == true[j] else STEM_WEIGHT for i, j in matches]
    chunks = sum(b != (a[0] + 1, a[1] + 1) for a, b in zip([(-2, -2), *matches], matches, strict=False))
    if chunks == 1 and len(matches) == len(written) == len(true):
        chunks = 0  # the true report, word for word: no penalty
    return np.array([
        sum(weight(written[i]) * s for (i, _), s in zip(matches, sure, strict=True)), sum(map(weight, written)),
        sum(weight(true[j]) * s for (_, j), s in zip(matches, sure, strict=True)), sum(map(weight, true)),
        chunks, len(matches),
    ])  # fmt: skip


def aligned(written: list[str], true: list[str]) -> list[tuple[int, int]]:
    """Places (i in written, j in true) of matching words, each used once: most weight, then fewest chunks, then least shift.

    Fewest chunks is a hard problem: a beam search from left to right keeps the BEAM best beginnings, as METEOR does.
    """
    stems = [stem(word) for word in written]
    places: dict[str, list[int]] = {}
    for j, word in enumerate(true):
        places.setdefault(stem(word), []).append(j)
    left = Counter(stems)
    exact, by_stem = 100, round(100 * STEM_WEIGHT)  # whole numbers: equal sums are equal in any order
    # Cost (- matched weight, chunks, shift), true words used (bits), place of the last match (-2 after a gap), chain of matches.
    beam: list[tuple[tuple[int, int, int], int, int, tuple | None]] = [((0, 0, 0), 0, -2, None)]
    for i, word in enumerate(written):
        nexts: dict[tuple[int, int], tuple] = {}
        for (cost, chunks, shift), used, last, chain in beam:
            free = [j for j in places.get(stems[i], ()) if not used >> j & 1]
            steps = [
                ((cost - (exact if true[j] == word else by_stem), chunks + (last != j - 1), shift + abs(i - j)),
                 used | 1 << j, j, (chain, i, j)) for j in free
            ]  # fmt: skip
            if left[stems[i]] > len(free):  # else leaving this word out would lose a match
                steps.append(((cost, chunks, shift), used, -2, chain))
            for step in steps:
                if step[1:3] not in nexts or step[0] < nexts[step[1:3]][0]:
                    nexts[step[1:3]] = step
        left[stems[i]] -= 1
        beam = sorted(nexts.values(), key=lambda state: state[0])[:BEAM]
    matches, chain = [], beam[0][3]
    while chain:
        chain, i, j = chain
        matches.append((i, j))
    return matches[::-1]


@lru_cache(maxsize=100_000)
def stem(word: str) -> str:
    """`leaking`, `leaks` -> `leak`; characters and numbers stay as they are."""
    return STEMMER.stemWord(word)


STEMMER = snowballstemmer.stemmer("english")
