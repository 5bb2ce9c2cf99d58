"""What looking up a draft in a long source takes, counted in elements and not in seconds."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from fairseq_specdec.blocks import Source
from fairseq_specdec.drafters.input import InputDrafter
from fairseq_specdec.drafters.ngram import NgramDrafter
from fairseq_specdec.engine.native import rounds
from tests.oracle import EOS, PAD, fresh_state

LONG, ROWS, BLOCK = 1024, 4, 4


class Work(TorchDispatchMode):
    """Counts the elements that operations write; views write none."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        given = {each.data_ptr() for each in args if isinstance(each, torch.Tensor)}
        if isinstance(found, torch.Tensor) and found.data_ptr() not in given:
            self.elements += found.numel()
        return found


def work_of_rounds(drafter, longest):
    """Return the elements of each round's draft, with one token more in the output each time."""
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(4, 2000, (ROWS, LONG), generator=generator)
    tokens[:, -1] = EOS
    state = fresh_state(ROWS, BLOCK)
    state.tokens = torch.randint(4, 2000, (ROWS, longest + 2), generator=generator)
    state.tokens[:, 0] = EOS
    drafter.start(Source(tokens, torch.full((ROWS,), LONG), PAD), state)
    found = []
    for n in range(1, longest):
        state.lengths, state.max_length = torch.full((ROWS,), n), n
        with Work() as work:
            drafter.propose(state)
        drafter.advance(torch.ones(ROWS, dtype=torch.int64))
        found.append(work.elements)
    return found


@pytest.fixture(autouse=True)
def by_torch(monkeypatch):
    """Compiled code looks at the same places, each once, and stops earlier."""
    monkeypatch.setattr(rounds, "can_run", lambda *tensors: False)


@pytest.mark.parametrize("edit_aware", [True, False])
def test_looking_up_the_source_takes_the_same_in_every_round(edit_aware):
    found = work_of_rounds(InputDrafter(None, BLOCK, edit_aware), 120)
    assert len(set(found[1:])) == 1
    assert found[1] < 25 * ROWS * LONG


def test_looking_up_source_and_output_grows_with_their_length_alone():
    found = work_of_rounds(NgramDrafter(BLOCK, EOS), 120)
    first, last = found[2], found[-1]
    assert last < first * (1 + 120 / LONG) * 1.02
    assert first < 60 * ROWS * LONG
