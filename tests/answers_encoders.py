"""Answers to the exercises of notebooks 00 to 03, right and wrong."""

import math
import random
import re

import numpy as np
import torch
from answers import solution, wrong
from torch.nn import functional as F

# ------------------------------------------------------------------------------------------------------ notebooks 00, 01


@solution
def cosine(a, b):
    out = torch.zeros(len(a), len(b))
    for i in range(len(a)):
        for j in range(len(b)):
            out[i, j] = a[i].dot(b[j]) / (a[i].norm() * b[j].norm())
    return out


wrong("cosine", "no normalisation")(lambda a, b: torch.einsum("id,jd->ij", a, b))


@wrong("cosine", "wrong axis")
def _(a, b):
    a, b = a / a.norm(dim=0), b / b.norm(dim=0)
    return a @ b.T


wrong("cosine", "Transposed")(lambda a, b: F.normalize(b, dim=-1) @ F.normalize(a, dim=-1).T)
wrong("cosine", "gave an array (3, 3)", "expected a tensor (3, 3) of float32: stay in torch")(lambda a, b: cosine(a, b).numpy())
wrong("cosine", "Only a has length one")(lambda a, b: F.normalize(a, dim=-1) @ b.T)


@solution
def split_by_patient(patients, share, seed):
    chance = random.Random(seed)
    unique = sorted(set(patients))
    chance.shuffle(unique)
    held = unique[: int(len(unique) * share)]
    return np.isin(patients, held)


wrong("split_by_patient", "leak", "both sides")(
    lambda patients, share, seed: np.random.RandomState(seed).rand(len(patients)) < share
)


@wrong("split_by_patient", "share", "not about 20%")
def _(patients, share, seed):
    unique = sorted(set(patients))
    return np.isin(patients, random.Random(seed).sample(unique, 5))


@wrong("split_by_patient", "seed", "different answers")
def _(patients, share, seed):
    unique = sorted(set(patients))
    return np.isin(patients, random.sample(unique, int(share * len(unique))))


@wrong("split_by_patient", "seed is not used")
def _(patients, share, seed):
    unique = sorted(set(patients))
    return np.isin(patients, unique[: int(share * len(unique))])


@wrong("split_by_patient", "order of rows or of a set", "change sides", "sort the names")
def _(patients, share, seed):
    unique = list(set(patients))  # in another order after each start of Python
    random.Random(seed).shuffle(unique)
    return np.isin(patients, unique[: round(share * len(unique))])


@wrong("split_by_patient", "order of rows or of a set", "backwards")
def _(patients, share, seed):
    unique = list(dict.fromkeys(patients))
    return np.isin(patients, random.Random(seed).sample(unique, round(share * len(unique))))


wrong("split_by_patient", "hash() of a string", "started anew")(
    lambda patients, share, seed: np.array([hash((name, seed)) % 1000 < 1000 * share for name in patients])
)


@wrong("split_by_patient", "hash() of a string")
def _(patients, share, seed):
    unique = sorted(set(patients), key=lambda name: hash(f"{seed} {name}"))
    return np.isin(patients, unique[: round(share * len(unique))])


@wrong("split_by_patient", "a window, not a draw", "40 of the 40")
def _(patients, share, seed):
    unique = list(dict.fromkeys(patients))
    return np.isin(patients, unique[seed : seed + round(share * len(unique))])


@wrong("split_by_patient", "a window, not a draw")
def _(patients, share, seed):
    unique = sorted(set(patients))
    begin = random.Random(seed).randrange(len(unique))
    return np.isin(patients, (unique * 2)[begin : begin + round(share * len(unique))])


@wrong("split_by_patient", "a comb that moves on", "by chance about 50")
def _(patients, share, seed):
    step = round(1 / share)
    return np.isin(patients, sorted(set(patients))[seed % step :: step])


wrong("split_by_patient", "expected an array", "of bool")(
    lambda patients, share, seed: np.isin(patients, sorted(set(patients))[:40]).astype(int)
)


@solution
def pair_letters(caption, panels):
    texts, rest = {}, caption
    for letter, following in zip(panels, [*panels[1:], None], strict=True):
        rest = rest.split(letter + ", ", 1)[1]
        texts[letter] = rest.split(following + ", ", 1)[0].strip() if following else rest.strip()
    return texts


wrong("pair_letters", "whole caption")(lambda caption, panels: dict.fromkeys(panels, caption))


@wrong("pair_letters", "letter is still")
def _(caption, panels):
    return {letter: f"{letter}, {text}" for letter, text in pair_letters(caption, panels).items()}


wrong("pair_letters", "a dict of A")(lambda caption, panels: caption.split(". "))


def split_everywhere(mark, caption, panels):
    return dict(zip(panels, [text.strip() for text in re.split(mark, caption)[1:]], strict=False))


wrong("pair_letters", "Any capital", "N, nasal")(lambda caption, panels: split_everywhere(r"[A-Z], ", caption, panels))
wrong("pair_letters", "end of a word", "case 3 of 5", "FFA")(
    lambda caption, panels: split_everywhere(f"[{panels}], ", caption, panels)
)
wrong("pair_letters", "letter in a sentence", "case 4 of 5", "vitamin A")(
    lambda caption, panels: split_everywhere(rf"(?:^| )[{panels}], ", caption, panels)
)
wrong("pair_letters", "case 4 of 5", "gave 'The same eye after vitamin' at ['B']")(
    lambda caption, panels: split_everywhere(r"(?:^| )[A-C], ", caption, panels)
)
wrong("pair_letters", "case 5 of 5", "a dict of A, B, N, T, C, D")(
    lambda caption, panels: dict(re.findall(r"([A-Z]), (.*?[.;])(?= [A-Z], |$)", caption))
)


@wrong("pair_letters", "case 5 of 5", "last place")
def _(caption, panels):
    ends, begins = len(caption), {}
    for letter in reversed(panels):
        begins[letter] = caption.rindex(letter + ", ", 0, ends), ends
        ends = begins[letter][0]
    return {letter: caption[begin + 3 : end].strip() for letter, (begin, end) in begins.items()}


@wrong("pair_letters", "from the beginning", "Hepatitis C")
def _(caption, panels):
    starts = [caption.index(letter + ", ") for letter in panels] + [len(caption)]
    return {letter: caption[starts[i] + 3 : starts[i + 1]].strip() for i, letter in enumerate(panels)}


# ---------------------------------------------------------------------------------------------------------- notebook 02


@solution
def mean_pool(hidden, mask):
    rows = []
    for h, m in zip(hidden, mask, strict=True):
        rows.append(h[m.bool()].mean(0))
    return torch.stack(rows)


wrong("mean_pool", "padding")(lambda hidden, mask: hidden.sum(dim=1) / hidden.shape[1])
wrong("mean_pool", "whole batch")(lambda hidden, mask: torch.einsum("bld,bl->bd", hidden, mask.float()) / mask.sum())
wrong("mean_pool", "case 3", "padded on the left")(
    lambda hidden, mask: torch.stack([h[:n].mean(0) for h, n in zip(hidden, mask.sum(1).tolist(), strict=True)])
)


@wrong("mean_pool", "case 3", "3 of 6 values differ")
def _(hidden, mask):
    ends = [(int(m.nonzero()[0]), int(m.nonzero()[-1]) + 1) for m in mask]
    return torch.stack([h[begin:end].mean(0) for h, (begin, end) in zip(hidden, ends, strict=True)])


wrong("mean_pool", "maximum")(
    lambda hidden, mask: torch.stack([h[m.bool()].max(0).values for h, m in zip(hidden, mask, strict=True)])
)
wrong("mean_pool", "Divided by L")(lambda hidden, mask: torch.einsum("bld,bl->bd", hidden, mask.float()) / hidden.size(1))


@wrong("mean_pool", "changed its input hidden in place")
def _(hidden, mask):
    hidden[mask == 0] = 0
    return hidden.sum(1) / mask.sum(1, keepdim=True)


@solution
def project(x, weight):
    x = x / x.norm(dim=-1, keepdim=True)
    x = F.linear(x, weight)
    return x / x.norm(dim=-1, keepdim=True)


wrong("project", "No second normalisation")(lambda x, weight: F.linear(x / x.norm(dim=-1, keepdim=True), weight))


@wrong("project", "transposed")
def _(x, weight):
    out = x / x.norm(dim=-1, keepdim=True) @ weight
    return out / out.norm(dim=-1, keepdim=True)


@wrong("project", "changed its input x in place")
def _(x, weight):
    x /= x.norm(dim=-1, keepdim=True)
    return F.normalize(x @ weight.T, dim=-1)


@solution
def recall_at_1(similarity):
    return sum(int(row.argmax()) == i for i, row in enumerate(similarity)) / len(similarity)


wrong("recall_at_1", "wrong axis")(
    lambda similarity: sum(int(column.argmax()) == i for i, column in enumerate(similarity.T)) / len(similarity)
)
wrong("recall_at_1", "the last text")(
    lambda similarity: sum(int(row.argsort(stable=True)[-1]) == i for i, row in enumerate(similarity)) / len(similarity)
)


@wrong("recall_at_1", "a miss")
def _(similarity):
    others = similarity - 10 * torch.eye(len(similarity))
    return (torch.diag(similarity) > others.max(dim=1).values).float().mean()


wrong("recall_at_1", "Ties")(lambda similarity: (similarity.max(dim=1).values == torch.diag(similarity)).float().mean())


# ---------------------------------------------------------------------------------------------------------- notebook 03


@solution
def expert_attention(V, expert_V, expert_T):
    scores = torch.matmul(V, expert_V.transpose(0, 1)) / math.sqrt(V.size(1))
    weights = torch.exp(scores) / torch.exp(scores).sum(dim=1, keepdim=True)
    return weights @ expert_T, weights


@wrong("expert_attention", "over the pictures", "heads")
def _(V, expert_V, expert_T):
    weights = F.softmax(V @ expert_V.T / math.sqrt(V.size(1)), dim=0)
    return weights @ expert_T, weights


@wrong("expert_attention", "sqrt(D) is missing")
def _(V, expert_V, expert_T):
    weights = F.softmax(V @ expert_V.T, dim=-1)
    return weights @ expert_T, weights


@wrong("expert_attention", "values are the pictures")
def _(V, expert_V, expert_T):
    weights = F.softmax(V @ expert_V.T / V.size(1) ** 0.5, dim=-1)
    return weights @ expert_V, weights


@wrong("expert_attention", "keys are the captions", "in the first of the two returned, at [0, 0]")
def _(V, expert_V, expert_T):
    weights = F.softmax(V @ expert_T.T / math.sqrt(V.size(1)), dim=-1)
    return weights @ expert_T, weights


wrong("expert_attention", "a tuple of 2")(lambda V, expert_V, expert_T: F.scaled_dot_product_attention(V, expert_V, expert_T))


@solution
def attention_entropy(weights):
    return -(weights * weights.clamp(min=1e-12).log()).sum(-1)


wrong("attention_entropy", "wrong axis")(lambda weights: -(weights * (weights + 1e-12).log()).sum(0))
wrong("attention_entropy", "an array (4,)", "stay in torch")(lambda weights: attention_entropy(weights).numpy())
wrong("attention_entropy", "log2", "nats")(lambda weights: -(weights * torch.log2(weights + 1e-12)).sum(1))
wrong("attention_entropy", "NaN", "0 log 0")(lambda weights: torch.sum(-weights * torch.log(weights), dim=-1))


@solution
def top_captions(weights, captions, k):
    out = []
    for row in weights.tolist():
        order = sorted(range(len(row)), key=lambda i: row[i], reverse=True)
        out.append([captions[i] for i in order[:k]])
    return out


wrong("top_captions", "Smallest first")(
    lambda weights, captions, k: [[captions[i] for i in np.argsort(row)[:k]] for row in weights.numpy()]
)
wrong("top_captions", "most weight last")(
    lambda weights, captions, k: [[captions[i] for i in np.argsort(row)[-k:]] for row in weights.numpy()]
)
wrong("top_captions", "case 3", "as they stand in the list")(
    lambda weights, captions, k: [
        [caption for caption, w in zip(captions, row, strict=True) if w >= sorted(row)[-k]] for row in weights.tolist()
    ]
)
wrong("top_captions", "case 3", "by the alphabet")(
    lambda weights, captions, k: [sorted({captions[i] for i in row.topk(k).indices}) for row in weights]
)
wrong("top_captions", "case 3", "a list of 2 at [0]", "a list of 3")(
    lambda weights, captions, k: [[captions[i] for i in row.topk(2).indices][:k] for row in weights]
)


@wrong("top_captions", "case 3", "gave 'd' at [0][0]")
def _(weights, captions, k):
    caption_of = {float(row[i]): captions[i] for row in weights for i in range(len(captions))}
    return [[caption_of[w] for w in row.topk(k).values.tolist()] for row in weights]
