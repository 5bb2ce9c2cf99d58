"""Drafters that are asked in turn: exact whoever drafts, and a copy is taken where copies were right of late."""

import pytest
import torch

from fairseq_specdec.blocks import Ask, DraftBlock
from fairseq_specdec.config import OptionError
from fairseq_specdec.drafters.autoregressive import ArDrafter, SelfDrafter
from fairseq_specdec.drafters.base import Drafter
from fairseq_specdec.drafters.input import InputDrafter
from fairseq_specdec.drafters.nat import NatDrafter
from fairseq_specdec.drafters.ngram import NgramDrafter
from fairseq_specdec.drafters.stack import StackedDrafter, drafter_named
from tests import oracle
from tests.kinds import STACK, drafter_for
from tests.oracle import EOS, HARD_SOURCES, PAD, Words, batches, compare, sample_of, simulate

K = 6


class Knowing(Drafter):
    """Knows the outputs; counts how often it is asked."""

    build = None

    def __init__(self, outputs, block_size=K):
        self.block_size, self.asked = block_size, 0
        self.outputs = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in outputs], True, EOS)

    def start(self, source, state):
        self.left = self.outputs

    def propose(self, state, ask=None):
        self.asked += 1
        where = state.lengths[:, None] - 1 + torch.arange(ask.most)
        tokens = self.left.gather(1, where.clamp(max=self.left.size(1) - 1))
        return DraftBlock(tokens, torch.full_like(state.lengths, ask.most))

    def select_rows(self, rows):
        self.left = self.left[rows]

    def tensors(self):
        return [self.left]


def stack_of(*pairs, copies=None, words=None):
    """A stack that copies the source, over a drafter that knows the outputs."""
    words = words or Words()
    outputs = [words.encode(output) for _, output in pairs]
    return StackedDrafter([*(copies or [InputDrafter(block_size=K)]), Knowing(outputs)]), words


@pytest.fixture(scope="module")
def joined(joined_data_bin, joined_verifier):
    return oracle.load(joined_verifier, joined_data_bin, "train")


@pytest.mark.parametrize("size", [1, 8])
@pytest.mark.parametrize("names", ["input,self", "ngram,self", "input,ngram,ar", "ngram,input,nat"])
def test_the_output_is_fairseqs(joined, joined_data_bin, names, size):
    drafter = StackedDrafter([drafter_for(joined_data_bin, name, joined[0][0]) for name in names.split(",")])
    stats = compare(joined, drafter, list(batches(joined[1], size, max(size, 16), "train")) * 2, max_len_b=25)
    assert stats.accepted > 0


@pytest.mark.parametrize("sources", HARD_SOURCES.values(), ids=HARD_SOURCES.keys())
def test_no_source_makes_the_output_another(joined, joined_data_bin, sources):
    compare(joined, drafter_for(joined_data_bin, STACK), [sample_of(sources)] * 2, max_len_b=20)


def test_what_is_copied_well_is_copied_and_the_last_drafter_is_not_asked():
    pair = (" ".join("abcdefghijkl"),) * 2
    stack, words = stack_of(pair)
    rounds = [simulate(stack, pair, words=words).rounds for _ in range(10)]
    assert rounds[0] > rounds[-1] == 2  # 13 tokens
    assert stack.last.asked == 0


def test_where_copies_are_wrong_the_last_drafter_drafts():
    pair = (" ".join("abcdefghijkl"), " ".join("mnopqrstuvwx"))
    stack, words = stack_of(pair)
    rounds = [simulate(stack, pair, words=words).rounds for _ in range(20)]
    assert rounds[0] > rounds[-1] == 2
    assert stack.last.asked > 20


def test_copies_that_are_not_taken_are_judged_all_the_same():
    wrong, right = ("a b c d e f", "m n o p q r"), ("a b c d e f",) * 2
    words = Words()
    stack, _ = stack_of(wrong, words=words)
    for _ in range(30):
        simulate(stack, wrong, words=words)
    stack.last.outputs = torch.tensor([words.encode(right[1])])
    for _ in range(120):
        simulate(stack, right, words=words)
    stack.last.asked = 0
    simulate(stack, right, words=words)
    assert stack.last.asked == 0


def test_each_row_is_drafted_for_by_the_first_that_is_sure():
    words = Words()
    pairs = [("a b c d e f g h",) * 2, ("a b c d e f g h", "z y x w v u t s")]
    stack, _ = stack_of(*pairs, words=words)
    for _ in range(30):  # in the second row every copy is wrong: the kind of its second copy is known to fail
        simulate(stack, *pairs, words=words)
    found = simulate(stack, *pairs, words=words)
    assert found.drafts[1] == "h [.]"
    assert found.rounds <= 5
    assert stack.last.asked > 0


def test_a_round_by_copies_alone_is_free_and_another_is_not():
    pair = ("a b c d", "a b c d")
    stack, words = stack_of(pair)
    blocks = []
    propose = stack.propose
    stack.propose = lambda state, ask=None: blocks.append(propose(state, ask)) or blocks[-1]
    simulate(stack, pair, words=words)
    simulate(stack, (pair[0], "x y z a"), words=words)
    assert [block.is_free for block in blocks][:1] == [True]
    assert not all(block.is_free for block in blocks)


def test_blocks_of_several_sizes_are_asked_for_within_their_own():
    stack = StackedDrafter([InputDrafter(block_size=9), Knowing([[EOS]], block_size=2)])
    assert stack.block_size == 9
    pair = ("a b", "c d e f g h")
    words = Words()
    stack.last.outputs = torch.tensor([words.encode(pair[1])])
    simulate(stack, pair, words=words)  # the recorder holds every draft against the block size


def test_look_ups_that_are_not_taken_are_not_counted_against_their_kind():
    words = Words()
    pairs = [("a b c d e f", "a b c d e f")]
    lookup = NgramDrafter(K, EOS)
    stack, _ = stack_of(*pairs, copies=[InputDrafter(block_size=K), lookup], words=words)
    simulate(stack, *pairs, words=words)
    assert lookup.outcomes.parts.eq(0).all()


def test_asking_for_less_gives_less():
    stack, words = stack_of(("a b c d", "a b c d"))
    source = sample_of([words.encode("a b c d")])["net_input"]
    state = oracle.fresh_state(block_size=K)
    stack.start(oracle.Source(source["src_tokens"], source["src_lengths"], PAD), state)
    draft = stack.propose(state, Ask(2))
    assert draft.lengths.tolist() == [2]


def test_names_with_commas_or_plus_signs_make_a_stack():
    for name in ("input,self", "input+self", "input, self"):
        cls = drafter_named(name)
        assert issubclass(cls, StackedDrafter)
        assert cls.parts == (InputDrafter, SelfDrafter)
    assert drafter_named("self") is SelfDrafter


def test_a_stack_needs_and_takes_what_its_drafters_do():
    cls = drafter_named("file,ngram,ar")
    assert cls.required == {"draft_file", "drafter_path"}
    assert cls.accepted == {"draft_rule", "ngram_corpus", "draft_dtype"}
    assert cls.one_by_one and cls.reads == "autoregressive" and not cls.has_guide
    assert cls.parts[-1] is ArDrafter
    assert not drafter_named("input,nat").one_by_one
    assert drafter_named("input,nat").parts[-1] is NatDrafter


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("self,input", "--drafter self,input: self must come last, since it always drafts: put those first that copy."),
        ("nat,self", "--drafter nat,self: nat must come last, since it always drafts: put those first that copy."),
        ("input,none", "--drafter input,none: none drafts nothing: leave it out."),
        ("ngram,ngram", "--drafter ngram,ngram must name a drafter once: leave the second out."),
    ],
)
def test_stacks_that_make_no_sense_are_refused(name, reason):
    with pytest.raises(OptionError) as caught:
        drafter_named(name)
    assert caught.value.reasons == [reason]


def test_an_unknown_name_in_a_stack_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"Unknown drafter 'ngrm'. Did you mean 'ngram'\?"):
        drafter_named("input,ngrm")
