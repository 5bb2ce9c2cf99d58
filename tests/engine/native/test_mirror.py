"""Compiled speculation in the beam plans what its definition in Python plans, pass by pass."""

import random
import sys
from pathlib import Path

import pytest
import torch

from fairseq_specdec.engine.native.mirror import DECIDED, TIED, UNKNOWN, Mirror
from fairseq_specdec.rules.constrain import constrain
from fairseq_specdec.rules.limits import Limits
from fairseq_specdec.search.beam_state import BeamState
from fairseq_specdec.search.candidates import Candidates

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "scripts"))

import mirror_replay as mr  # noqa: E402

PAD, EOS, UNK, SYMBOLS, FIRST = 1, 2, 3, 23, 2


class Language:
    """Scores of what follows a prefix, by its last two tokens for the most part; ``in`` says yes to every prefix."""

    def __init__(self, seed, limits, beam):
        self._seed, self._limits, self._beam = seed, limits, beam

    def lprobs(self, prefix):
        made = torch.Generator().manual_seed(hash((self._seed, *prefix[-2:])) % 2**31)
        own = torch.Generator().manual_seed(hash((self._seed, *prefix)) % 2**31)
        scores = 3 * torch.randn(SYMBOLS, generator=made) + 0.3 * torch.randn(SYMBOLS, generator=own)
        return scores.log_softmax(0)

    def __contains__(self, prefix):
        return True

    def __getitem__(self, prefix):
        steps = torch.tensor([[len(prefix) - 1]])
        best = constrain(self.lprobs(prefix)[None, None], steps, self._limits)[0, 0].topk(2 * self._beam)
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return [(token, score) for token, score in pairs if score > float("-inf")]


def compiled(language, limits, beam, guide, most, mirror):
    """Decode with the compiled tree; return the prefixes of each pass and the last step."""
    mirror.begin(limits, FIRST, torch.tensor(guide, dtype=torch.int64), most)
    state, slots, passes = BeamState(limits, torch.tensor([FIRST]), beam), [], []
    while state.is_open:
        status, candidates = mirror.step()
        assert status != TIED
        if status == DECIDED:
            state.advance(Candidates(*candidates))
            continue
        assert status == UNKNOWN
        tokens, paths, _ = mirror.plan()
        slots += tokens[0].tolist()
        ends = zip(paths.slots[0].tolist(), paths.depths[0].tolist(), strict=True)
        passes.append([tuple(slots[slot] for slot in path[: depth + 1]) for path, depth in ends])
        mirror.learn(torch.stack([language.lprobs(prefix) for prefix in passes[-1]])[None].contiguous())
    return passes, state.step


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("beam", "extra"), [(2, 3), (5, 7), (4, 30)])
def test_passes_take_the_same_prefixes_in_the_same_order(monkeypatch, seed, beam, extra):
    rng, limits = random.Random(seed), Limits(PAD, UNK, EOS, max_len=9, min_len=2)
    language, mirror, guesses = Language(seed, limits, beam), Mirror(beam), mr.Guesses()
    planned = []
    plan = mr.plan
    monkeypatch.setattr(mr, "plan", lambda *args: planned.append(plan(*args)) or planned[-1])
    for _ in range(3):  # what one has taught is known to the next
        guide = [rng.randrange(2, SYMBOLS) for _ in range(rng.randrange(9))]
        planned.clear()
        text, counted = mr.Guide(guide) if guide else None, mr.Count()
        rules = mr.Rules(beam, EOS, limits.max_len)
        mr.replay(language, FIRST, rules, mr.Policy(extra), guesses, lambda _, text=text: text, counted)
        passes, steps = compiled(language, limits, beam, guide, beam + extra, mirror)
        assert passes == planned and steps == counted.steps
        assert max(map(len, passes)) > 1


def test_a_tie_is_told_and_what_fairseq_says_of_it_is_followed():
    limits, mirror = Limits(PAD, UNK, EOS, max_len=5), Mirror(2)
    mirror.begin(limits, FIRST, torch.empty(0, dtype=torch.int64), 4)
    assert mirror.step()[0] == UNKNOWN
    tokens, paths, n_live = mirror.plan()
    assert tokens.tolist() == [[FIRST]] and paths.slots[0, 0, 0] == 0 and n_live == 1
    equal = torch.full((1, 1, SYMBOLS), -3.0)
    equal[0, 0, [7, 9, 11]] = -1.0
    mirror.learn(equal)
    assert mirror.step()[0] == TIED
    again = mirror.plan(again=True)
    assert again.tokens.tolist() == [[FIRST]] and again.paths.slots[0, 0, 0] == 1
    scores, chosen = torch.tensor([[-1.0, -1.0, -1.0, -3.0]]), torch.tensor([[9, 11, 7, 4]])
    mirror.follow((scores, chosen, torch.zeros_like(chosen)))
    tokens, paths, n_live = mirror.plan()
    assert tokens[0, :2].tolist() == [9, 11] and n_live == 2
    assert paths.slots[0, :2, :2].tolist() == [[1, 2], [1, 3]] and paths.depths[0, :2].tolist() == [1, 1]
