"""How many words captions have, which ones, how varied: what the paper plots of its texts (section 2, "Text statistics").

The paper does not say what it counts as a word. English: see `words`. Chinese has no spaces, and the paper's two numbers fit
no single unit: a mean of 49 against 33 in English is near to characters (drawn captions have 1.4 of them, but 0.7 words, for an
English word), while 3,810 *different* ones are more than the 3,500 that China's list of common characters holds for all
purposes, so that its vocabulary must be one of words. Here a Chinese word is the longest term of TERMS, else a single character;
a dictionary of the whole language (jieba, 19 MB) is not asked for. So a Chinese vocabulary is a lower bound and a length lies
between the two units: compare Chinese sets that were counted here with each other, and see `mean_characters` beside them.
Not about: whether a text is right or clean (cleaning.py), drawing (text_figures.py).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd
from scipy.special import gammaln
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from .config import InputError

LANGUAGES = {"en": "text", "zh": "text_zh"}  # language -> column of a manifest
# name -> mean words, vocabulary, read off the paper's plot, about
PAPER = {
    "MM-Retinal CFP-en": (33, 3920),
    "MM-Retinal CFP-zh": (49, 3810),
    "MM-Retinal FFA-en": (32, 3010),
    "MM-Retinal FFA-zh": (51, 2940),
    "FFA-IR en": (57, 2840),
    "FLAIR prompts": (7, 2510),
}
DRAWS = 42  # words in a sample of HD-D, as its authors have it

WORD = re.compile(r"[^\W_]+(?:(?:[-']|(?<=\d)[./](?=\d))[^\W_]+)*")
CHINESE = re.compile("[\u3400-\u9fff\uf900-\ufaff]+")
ALIKE = str.maketrans("‐‑–’‘`", "---'''")
# scikit-learn's list is for news: these words say something of an eye
STOP = ENGLISH_STOP_WORDS - {"thin", "thick", "fill", "full", "front", "back", "side", "bottom", "top", "serious", "system"}
STOP_CHINESE = {"可见", "未见", "患者", "同一", "如图", "部分", "一个", "以及"}
_TERMS = """
    视网膜 脉络膜 黄斑 黄斑区 黄斑部 中心凹 中心小凹 旁中心凹 视盘 视乳头 视神经 视杯 盘沿 杯盘比 玻璃体 晶状体 角膜 虹膜 巩膜
    眼底 眼球 眼前节 右眼 左眼 双眼 动脉 静脉 动静脉 血管 小血管 大血管 毛细血管 分支 主干 血管弓 拱环 微血管瘤 血管瘤 新生血管
    侧支循环 色素上皮 色素上皮层 神经上皮 神经上皮层 神经纤维 神经纤维层 外界膜 内界膜 椭圆体带 玻璃膜 光感受器 感光细胞 后极部
    后极 周边部 周边 中周部 赤道部 颞侧 鼻侧 上方 下方 颞上 颞下 鼻上 鼻下 象限 边缘 边界 中央 中心 周围 表面 区域 范围 形态
    结构 出血 渗出 硬性渗出 软性渗出 棉絮斑 棉绒斑 玻璃膜疣 水肿 隆起 脱离 浆液性 皱褶 裂孔 前膜 萎缩 变性 增生 增殖 纤维 机化
    瘢痕 疤痕 色素 沉着 脱失 缺损 病灶 病变 肿物 肿瘤 黑色素瘤 囊样 囊腔 劈裂 牵拉 炎症 浸润 坏死 钙化 结节 肉芽肿 凹陷 扩大
    扩张 迂曲 变细 变窄 狭窄 充盈 充血 缺血 阻塞 闭塞 苍白 混浊 模糊 清楚 清晰 不清 豹纹状 火焰状 片状 点状 线状 圆形 椭圆形
    类圆形 放射状 环形 弧形斑 荧光 高荧光 强荧光 低荧光 弱荧光 荧光素 荧光渗漏 渗漏 着染 染色 积存 遮蔽 透见 透见荧光 无灌注
    无灌注区 灌注 血管造影 荧光血管造影 造影 造影剂 染料 吲哚青绿 脉络膜循环 早期 中期 晚期 动脉期 静脉期 动静脉期 反射 高反射
    低反射 反光 信号 断层 断层扫描 扫描 彩照 眼底彩照 照相 自发荧光 红外 无赤光 激光 光凝 激光斑 治疗 手术 术前 术后 注射 随访
    复查 视力 视野 眼压 糖尿病 高血压 近视 病理性近视 青光眼 白内障 糖尿病视网膜病变 高血压视网膜病变 年龄相关性黄斑变性
    黄斑变性 黄斑水肿 黄斑裂孔 黄斑前膜 视网膜静脉阻塞 中央静脉 视网膜脱离 视网膜色素变性 色素变性 视神经萎缩 视盘水肿 葡萄膜炎
    中心性浆液性脉络膜视网膜病变 轻度 中度 重度 明显 严重 少量 大量 多个 数个 散在 弥漫 局限 广泛 正常 异常 完整 光滑 规则 均匀
    连续 增厚 变薄 增大 缩小 增多 减少 消失 出现 扩散 融合 聚集 分布 排列 黄白色 灰白色 白色 红色 暗红色 黄色 橘红色 黑色 灰色
    可见 未见 患者 男性 女性 诊断 同一 如图 以及 部分 一个
"""
TERMS = tuple(_TERMS.split())
LONGEST_FIRST = re.compile("|".join(sorted(TERMS, key=len, reverse=True)) + "|.")


def words(text: str, language: str) -> list[str]:
    """The words of a text in order. InputError: a language other than en and zh.

    en: runs of letters and digits in lower case; hyphens, apostrophes, and dots and slashes between digits keep a word
    together (well-defined, drusen's, 20/200, 0.5). zh: see the top of the file; Latin words and numbers count as in English.
    Punctuation is never a word; signs of full width, ligatures and the kinds of hyphen count as the plain ones.
    """
    text = unicodedata.normalize("NFKC", text).translate(ALIKE).lower()
    if language == "en":
        return WORD.findall(text)
    if language != "zh":
        raise InputError(f"no words of the language {language!r} are known: choose en or zh")
    found, end = [], 0
    for run in CHINESE.finditer(text):
        found += WORD.findall(text[end : run.start()])
        found += LONGEST_FIRST.findall(run[0])
        end = run.end()
    return found + WORD.findall(text[end:])


def frequent_words(texts: Iterable[str], language: str, n: int = 20) -> list[tuple[str, int]]:
    """The n words that stand most often, without stop words; ties in alphabetical order.

    Left out too: single letters and numbers, and in Chinese single characters, which are mostly pieces of unknown words.
    """
    stop = STOP_CHINESE if language == "zh" else STOP
    counts = Counter(word for text in texts for word in words(text, language))
    known = [(word, k) for word, k in counts.items() if word not in stop and len(word) > 1 and not word[0].isdigit()]
    return sorted(known, key=lambda pair: (-pair[1], pair[0]))[:n]


def lengths(texts: Iterable[str], language: str) -> np.ndarray:
    """(N,) words of each text."""
    return np.array([len(words(text, language)) for text in texts], dtype=int)


def type_token_ratio(all_words: Sequence[str]) -> float:
    """Different words / words. It falls as a corpus grows: never compare two of unlike size by it. No words: nan."""
    return len(set(all_words)) / len(all_words) if all_words else np.nan


def lexical_diversity(all_words: Sequence[str], draws: int = DRAWS) -> float:
    """HD-D: the type-token ratio that a random sample of `draws` words has on average, between 1/draws and 1.

    Of N words, one that stands n times is in a sample drawn without putting back with probability
    1 - C(N-n, draws) / C(N, draws); HD-D is the sum over the different words, divided by `draws` (McCarthy and Jarvis 2007,
    vocd: a theoretical and empirical evaluation, Language Testing 24). It hardly moves with the size of the corpus, nor at
    all with the order of the captions, of which MTLD and MATTR make much: neighbours in a book are alike. Languages do not
    compare, their words being other units. Fewer words: nan.
    """
    total = len(all_words)
    if total < draws:
        return np.nan
    times, different = np.unique(list(Counter(all_words).values()), return_counts=True)
    rest = total - times
    some = rest >= draws  # else every sample has the word
    missed = np.zeros(len(times))
    missed[some] = np.exp(_log_choose(rest[some], draws) - _log_choose(total, draws))
    return float((different * (1 - missed)).sum() / draws)


def _log_choose(n, k):
    return gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0)


def texts_of(frame: pd.DataFrame) -> Iterator[tuple[str, str, list[str]]]:
    """(modality, language, its texts that are not empty), modalities in the order in which they come.

    InputError: no column modality, or neither text nor text_zh.
    """
    found = ", ".join(map(str, frame.columns))[:80]
    if "modality" not in frame or not set(LANGUAGES.values()) & set(frame.columns):
        raise InputError(f"text statistics need the columns modality, and text or text_zh (found: {found}): name them so")
    for modality, rows in frame.groupby("modality", sort=False):
        for language, column in LANGUAGES.items():
            texts = rows[column].dropna().astype(str) if column in rows else ()
            texts = [text for text in texts if text.strip()]
            if texts:
                yield str(modality), language, texts


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """A manifest's texts -> one row a (modality, language) that has any.

    Columns: n (captions), mean_words, median_words, mean_characters (letters, digits and Chinese characters), vocabulary
    (different words), type_token_ratio, diversity (HD-D), duplicates (captions that an earlier one equals, letter for letter).
    """
    rows = []
    for modality, language, texts in texts_of(frame):
        split = [words(text, language) for text in texts]
        all_words = [word for caption in split for word in caption]
        counts = [len(caption) for caption in split]
        rows.append({
            "modality": modality,
            "language": language,
            "n": len(texts),
            "mean_words": np.mean(counts),
            "median_words": np.median(counts),
            "mean_characters": np.mean([sum(sign.isalnum() for sign in text) for text in texts]),
            "vocabulary": len(set(all_words)),
            "type_token_ratio": type_token_ratio(all_words),
            "diversity": lexical_diversity(all_words),
            "duplicates": len(texts) - len(set(texts)),
        })  # fmt: skip
    columns = ["modality", "language", "n", "mean_words", "median_words", "mean_characters", "vocabulary", "type_token_ratio",
               "diversity", "duplicates"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns).set_index(["modality", "language"])
