"""Drafts of several rows: compiled code against torch, and both against one token at a time from nothing."""

import pytest
import torch

from fairseq_specdec.blocks import Ask
from fairseq_specdec.engine.draft_decoder import CREDIT, EDGES, FIRST_TRUST, DraftDecoder
from fairseq_specdec.engine.fast_decoder import FastDecoder
from fairseq_specdec.engine.weights import read_verifier
from tests import oracle
from tests.oracle import EOS, PAD

K, CAPACITY, SYMBOLS = 6, 40, 32


@pytest.fixture(scope="module")
def model(data_bin, verifier):
    return oracle.load(verifier, data_bin)[0][0]


def started(model, rows, dtype=None):
    """Return a decoder for rows with random encoder outputs, some of them padded, and these."""
    memory = torch.randn(rows, 5, 32, generator=torch.Generator().manual_seed(1))
    padding = torch.arange(5) >= torch.tensor([5, 3, 4, 1, 5, 2])[:rows, None]
    decoder = DraftDecoder(read_verifier(model.decoder, dtype), K, PAD, EOS)
    decoder.start(memory, padding, CAPACITY)
    return decoder, memory, padding


def greedy(model, memory, padding, row, prefix, n):
    """Return n tokens behind a prefix, one at a time from nothing."""
    decoder = FastDecoder(read_verifier(model.decoder))
    decoder.start(memory[row : row + 1], padding[row : row + 1], CAPACITY)
    tokens = list(prefix)
    for _ in range(n):
        scores, _ = decoder.score(torch.tensor([tokens]), 0)
        scores[:, :, PAD] = -torch.inf
        tokens.append(int(scores[0, -1].argmax()))
    return tokens[len(prefix) :]


def ragged(rows, seed=0):
    """Return tokens [B, T] and lengths [B] of rows that have not ended."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(4, SYMBOLS, (rows, CAPACITY), generator=generator)
    tokens[:, 0] = EOS
    return tokens, torch.randint(1, 9, (rows,), generator=generator)


def accept(tokens, lengths, draft, right, generator):
    """Let stand what ``right`` [B] says of a draft, and another token behind it; return how rows go on."""
    for row, n in enumerate(right.tolist()):
        begin = int(lengths[row])
        tokens[row, begin : begin + n] = draft[row, :n]
        wrong = int(torch.randint(4, SYMBOLS, (1,), generator=generator))
        if n < draft.size(1) and wrong == int(draft[row, n]):
            wrong = 4 + (wrong - 3) % (SYMBOLS - 4)
        tokens[row, begin + n] = wrong
    return lengths + right + 1


@pytest.mark.parametrize("rows", [1, 4])
def test_drafts_are_the_greedy_output_behind_what_stands_whatever_was_right_before(model, layers_by, rows):
    decoder, memory, padding = started(model, rows)
    tokens, lengths = ragged(rows)
    generator = torch.Generator().manual_seed(3)
    for most in (4, 6, 1, 5, 3):
        draft, drafted = decoder.draft(tokens, lengths, int(lengths.max()), Ask(most))
        for row in range(rows):
            n = int(drafted[row])
            wanted = greedy(model, memory, padding, row, tokens[row, : lengths[row]].tolist(), n)
            assert draft[row, :n].tolist() == wanted
            assert n == draft.size(1) or wanted[-1] == EOS
        right = torch.randint(0, draft.size(1) + 1, (rows,), generator=generator)
        lengths = accept(tokens, lengths, draft.clone(), right, generator)


@pytest.mark.parametrize("dtype", [None, "int8", "bf16"])
@pytest.mark.parametrize("rows", [1, 3, 6])
def test_compiled_code_and_torch_draft_learn_and_forget_alike(model, monkeypatch, rows, dtype):
    compiled, *_ = started(model, rows, dtype)
    by_torch, *_ = started(model, rows, dtype)
    assert compiled._native is not None
    by_torch._native = None
    tokens, lengths = ragged(rows, seed=rows)
    generator = torch.Generator().manual_seed(rows)
    for i in range(9):
        if i % 4 == 3:  # a round without a draft
            lengths = lengths + 1
        ask = Ask(1 + i % K, 0.4 * rows if i % 2 else 0.0)
        longest = int(lengths.max())
        (a, n_a), (b, n_b) = (d.draft(tokens, lengths, longest, ask) for d in (compiled, by_torch))
        assert a.shape == b.shape
        for row, n in enumerate(n_a.tolist()):
            assert n == int(n_b[row])
            assert a[row, :n].tolist() == b[row, :n].tolist()
        assert compiled._last.known.tolist() == by_torch._last.known.tolist()
        assert compiled._trust.tolist() == by_torch._trust.tolist()
        right = torch.randint(0, a.size(1) + 1, (rows,), generator=generator).minimum(n_a)
        lengths = accept(tokens, lengths, a.clone(), right, generator)
        if i == 5 and rows > 1:
            chosen = torch.arange(1, rows)
            tokens, lengths, rows = tokens[chosen], lengths[chosen], rows - 1
            for decoder in (compiled, by_torch):
                decoder.select_rows(chosen)
        if int(lengths.max()) > CAPACITY - 2 * K:
            break
    assert compiled._trust[0].sum() > CREDIT * len(FIRST_TRUST)
    compiled.forget()
    assert compiled._trust[0].tolist() == [CREDIT] * (len(EDGES) + 1)


def test_rows_that_have_ended_draft_nothing_and_do_not_make_the_others_catch_up(model, layers_by):
    decoder, *_ = started(model, 2)
    tokens, _ = ragged(2)
    tokens[0, 8] = EOS
    lengths = torch.tensor([9, 3])
    draft, drafted = decoder.draft(tokens, lengths, 3, Ask(4))
    assert drafted.tolist()[0] == 0
    assert drafted.tolist()[1] > 0


def test_a_draft_ends_with_the_first_token_that_is_not_sure_enough_and_margins_that_fail_are_trusted_less(
    model, layers_by
):
    decoder, *_ = started(model, 1)
    tokens, lengths = ragged(1)
    whole = decoder.draft(tokens, lengths, 9, Ask(K))[0].size(1)
    margins = decoder._last.margins[0, :whole].tolist()
    sure = 1.0
    n = 0
    for margin in margins:
        n += 1
        sure *= FIRST_TRUST[margin]
        if sure <= 0.8:
            break
    decoder, memory, padding = started(model, 1)
    assert decoder.draft(tokens, lengths, 9, Ask(K, 0.8))[0].size(1) == n
    for _ in range(40):  # its first token is always wrong
        decoder.start(memory, padding, CAPACITY)
        draft, _ = decoder.draft(tokens, lengths, 9, Ask(K))
        other = tokens.clone()
        other[0, lengths[0]] = 5 if int(draft[0, 0]) == 4 else 4
        decoder.draft(other, lengths + 1, 10, Ask(1))
    tried, right = decoder._trust[:, margins[0]].tolist()
    assert tried > CREDIT and right / tried < 0.5 * FIRST_TRUST[margins[0]]


def test_a_token_that_the_decoder_does_not_have_raises(model, layers_by):
    decoder, *_ = started(model, 1)
    tokens, lengths = ragged(1)
    tokens[0, lengths[0] - 1] = 10**6
    with pytest.raises(IndexError):
        decoder.draft(tokens, lengths, 9, Ask(2))
