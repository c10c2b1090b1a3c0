"""The writer's layers against PyTorch's, and the search: cache, beams, blocked repeats."""

import pytest
import torch
from torch import nn

from keepfit_mini.report_decoder import DecoderLayer, EncoderLayer, ReportDecoder
from keepfit_mini.report_search import Written, mean_log_likelihood, search
from keepfit_mini.report_vocabulary import BEGIN, END, PAD, UNKNOWN

DIM, HEADS, WORDS, LIMIT = 32, 4, 40, 12


def hand_over(ours, theirs):
    """Our attention's weights into torch.nn.MultiheadAttention, which packs three maps into one."""
    maps = (ours.query, ours.key, ours.value)
    theirs.in_proj_weight.data = torch.cat([m.weight for m in maps]).detach()
    theirs.in_proj_bias.data = torch.cat([m.bias for m in maps]).detach()
    theirs.out_proj.load_state_dict(ours.out.state_dict())


def the_rest(ours, theirs):
    theirs.linear1.load_state_dict(ours.feed_forward[0].state_dict())
    theirs.linear2.load_state_dict(ours.feed_forward[3].state_dict())
    for i, norm in enumerate(ours.norms):
        norm.weight.data.uniform_(0.5, 1.5)
        getattr(theirs, f"norm{i + 1}").load_state_dict(norm.state_dict())


def test_decoder_layer_is_pytorchs():
    torch.manual_seed(0)
    ours = DecoderLayer(DIM, HEADS, 0.0)
    theirs = nn.TransformerDecoderLayer(DIM, HEADS, 4 * DIM, 0.0, batch_first=True, norm_first=True)
    hand_over(ours.self_attention, theirs.self_attn)
    hand_over(ours.cross_attention, theirs.multihead_attn)
    the_rest(ours, theirs)
    x, memory = torch.randn(3, 7, DIM), torch.randn(3, 5, DIM)
    wanted = theirs(x, memory, tgt_mask=nn.Transformer.generate_square_subsequent_mask(7))
    torch.testing.assert_close(ours(x, memory), wanted, atol=1e-5, rtol=1e-5)


def test_encoder_layer_is_pytorchs():
    torch.manual_seed(0)
    ours, theirs = EncoderLayer(DIM, HEADS, 0.0), nn.TransformerEncoderLayer(DIM, HEADS, 4 * DIM, 0.0, batch_first=True,
                                                                             norm_first=True)  # fmt: skip
    hand_over(ours.attention, theirs.self_attn)
    the_rest(ours, theirs)
    x = torch.randn(3, 5, DIM)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-5)


@pytest.fixture
def decoder():
    torch.manual_seed(1)
    return ReportDecoder(WORDS, DIM, HEADS, 2, 0.1, LIMIT).eval()


SEEN = torch.ones(4, 6, dtype=torch.bool)


@pytest.fixture
def memory():
    return torch.randn(4, 6, DIM, generator=torch.Generator().manual_seed(2))


def test_a_word_sees_no_later_word(decoder, memory):
    words = torch.randint(4, WORDS, (4, 8))
    changed = words.clone()
    changed[:, 5:] = 4 + (changed[:, 5:] - 3) % (WORDS - 4)
    a, b = decoder(words, memory), decoder(changed, memory)
    torch.testing.assert_close(a[:, :5], b[:, :5])
    assert not torch.allclose(a[:, 5], b[:, 5])


def test_kept_keys_and_values_change_nothing(decoder, memory):
    words, kept = torch.randint(4, WORDS, (4, 8)), decoder.nothing_kept()
    one_by_one = torch.cat([decoder(words[:, i : i + 1], memory, kept=kept) for i in range(8)], 1)
    torch.testing.assert_close(one_by_one, decoder(words, memory), atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="one at a time"):  # the causal mask would be that of a report's first words
        decoder(words[:, :2], memory, kept=kept)


def test_attention_is_that_of_the_forward_pass(decoder, memory):
    """The weights reproduce the cross-attention's output; each word's sum to one."""
    words = torch.randint(4, WORDS, (4, 5))
    weights = decoder.attention(words, memory, SEEN)
    assert weights.shape == (4, 5, 6)
    torch.testing.assert_close(weights.sum(-1), torch.ones(4, 5))
    seen = {}
    cross = decoder.layers[-1].cross_attention
    hook = cross.query.register_forward_hook(lambda module, inputs, output: seen.update(x=inputs[0]))
    decoder(words, memory)
    hook.remove()
    query, (keys, values) = cross.split(cross.query(seen["x"])), cross.keys_values(memory)
    by_head = (query @ keys.transpose(-2, -1) / (DIM // HEADS) ** 0.5).softmax(-1)
    torch.testing.assert_close(weights, by_head.mean(1), atol=1e-5, rtol=1e-5)
    out = cross.out((by_head @ values).transpose(1, 2).flatten(2))
    torch.testing.assert_close(out, cross(seen["x"], keys, values), atol=1e-5, rtol=1e-5)


def test_absent_patches_do_not_matter(decoder, memory):
    """Fewer views: what stands in the padding changes no word, and gets no weight."""
    seen = SEEN.clone()
    seen[:, 4:] = False
    other = memory.clone()
    other[:, 4:] += 9
    words = torch.randint(4, WORDS, (4, 5))
    torch.testing.assert_close(decoder(words, memory, seen), decoder(words, other, seen))
    torch.testing.assert_close(decoder(words, memory, seen), decoder(words, memory[:, :4]), atol=1e-5, rtol=1e-5)
    assert decoder.attention(words, memory, seen)[:, :, 4:].abs().max() == 0
    fewer = search(decoder, memory[:, :4], seen[:, :4], LIMIT)
    assert [r.words for r in search(decoder, memory, seen, LIMIT)] == [r.words for r in fewer]


@pytest.mark.parametrize("width", [1, 3])
def test_the_cache_writes_the_same_words(decoder, memory, width):
    kept, anew = (search(decoder, memory, SEEN, LIMIT, width, keep=keep) for keep in (True, False))
    assert [r.words for r in kept] == [r.words for r in anew]


@pytest.mark.parametrize("width", [1, 3])
def test_likelihoods_are_those_of_the_words(decoder, memory, width):
    for i, report in enumerate(search(decoder, memory, SEEN, LIMIT, width, block=3)):
        words = torch.tensor([[BEGIN, *report.words, END]])
        logits = decoder(words[:, :-1], memory[i : i + 1]).log_softmax(-1)
        total = logits.gather(-1, words[:, 1:, None]).sum()
        assert report.log_likelihood == pytest.approx(total.item(), abs=1e-3)
        assert not {PAD, BEGIN, END, UNKNOWN} & set(report.words)
        assert len(report.words) <= LIMIT


def test_greedy_takes_the_likeliest_word(decoder, memory):
    report = search(decoder, memory[:1], SEEN[:1], LIMIT, width=1, block=0)[0]
    words = torch.tensor([[BEGIN, *report.words]])
    logits = decoder(words, memory[:1])[0]
    logits[:, [PAD, BEGIN, UNKNOWN]] = float("-inf")
    best = logits.argmax(-1).tolist()
    assert best[: len(report.words)] == list(report.words)
    assert report.ended == (len(report.words) < LIMIT or best[-1] == END)


class Table(nn.Module):
    """A "decoder" whose next word depends on the last one alone: log-probabilities from a table (W, W)."""

    def __init__(self, chances):
        super().__init__()
        self.chances = chances

    def forward(self, words, memory, seen, kept=None):
        return self.chances[words].log()

    def nothing_kept(self):
        return None


def table(rows):
    chances = torch.full((8, 8), 1e-9)
    for word, following in rows.items():
        for other, chance in following.items():
            chances[word, other] = chance
    return Table(chances)


def test_beam_search_finds_what_greedy_misses():
    """4 looks best at first (.6), but nothing good follows it; 5 (.4) is followed by a sure end."""
    model = table({BEGIN: {4: 0.6, 5: 0.4}, 4: {6: 0.5, 7: 0.5}, 5: {END: 1.0}, 6: {END: 0.5, 7: 0.5}, 7: {END: 0.5, 6: 0.5}})
    memory, seen = torch.zeros(1, 1, 1), torch.ones(1, 1, dtype=torch.bool)
    greedy, beam = search(model, memory, seen, 6, 1)[0], search(model, memory, seen, 6, 3)[0]
    assert greedy.words[0] == 4
    assert beam.words == (5,)
    assert mean_log_likelihood(beam) > mean_log_likelihood(greedy)


def test_a_longer_report_that_is_likelier_a_word_is_waited_for():
    """Three short reports have ended before (4, 6, 7) has, whose words are nearly sure after the first two."""
    model = table({BEGIN: {4: 0.5, END: 0.3, 5: 0.2}, 4: {END: 0.35, 6: 0.65}, 6: {END: 0.01, 7: 0.99}, 7: {END: 0.99, 5: 0.01},
                   5: {END: 0.9, 7: 0.1}})  # fmt: skip
    memory, seen = torch.zeros(1, 1, 1), torch.ones(1, 1, dtype=torch.bool)
    assert [search(model, memory, seen, 8, width)[0].words for width in (1, 2, 3)] == [(4, 6, 7)] * 3


def test_no_three_words_come_twice():
    model = table({BEGIN: {4: 1.0}, 4: {5: 1.0}, 5: {6: 1.0}, 6: {4: 0.9, END: 0.1}})
    memory, seen = torch.zeros(1, 1, 1), torch.ones(1, 1, dtype=torch.bool)
    assert search(model, memory, seen, 20, 3, block=3)[0].words == (4, 5, 6)
    for report in (search(model, memory, seen, 20, 1, block=3)[0], search(model, memory, seen, 20, 3, block=3)[0]):
        runs = [report.words[i : i + 3] for i in range(len(report.words) - 2)]
        assert len(runs) == len(set(runs))
    assert len(search(model, memory, seen, 20, 1, block=0)[0].words) == 20


def test_the_limit_ends_a_report():
    model = table({BEGIN: {4: 1.0}, 4: {5: 0.5, 6: 0.5}, 5: {4: 1.0}, 6: {4: 1.0}})
    report = search(model, torch.zeros(2, 1, 1), torch.ones(2, 1, dtype=torch.bool), 5, 3, block=0)
    assert all(len(one.words) == 5 and not one.ended for one in report)


def test_mean_log_likelihood_counts_the_end():
    assert mean_log_likelihood(Written((4, 5), -3.0, True)) == -1.0
