from dataclasses import replace

import torch

from fairseq_specdec.blocks import DraftBlock, Verdict
from fairseq_specdec.rules.limits import Limits
from fairseq_specdec.search.state import DecodeState

EOS = 2
LIMITS = Limits(pad=1, unk=3, eos=EOS, max_len=20)


def state_of(n_rows, block_size=3):
    return DecodeState(LIMITS, torch.full((n_rows,), EOS), block_size)


def commit(state, drafts, accepted, following):
    tokens = torch.tensor(drafts, dtype=torch.int64)
    draft = DraftBlock(tokens, torch.full((tokens.size(0),), tokens.size(1)))
    lprobs = -torch.arange(10.0).expand(tokens.size(0), tokens.size(1) + 1, 10)
    return state.commit(draft, Verdict(torch.tensor(accepted), torch.tensor(following)), lprobs).tolist()


def outputs(state):
    tokens, _, lengths, _ = state.result()
    return [row[1:n].tolist() for row, n in zip(tokens, lengths.tolist(), strict=True)]


def test_each_row_advances_by_its_own_number_of_tokens():
    state = state_of(3)
    assert commit(state, [[4, 5, 6]] * 3, [0, 2, 3], [7, 8, 9]) == [1, 3, 4]
    assert outputs(state) == [[7], [4, 5, 8], [4, 5, 6, 9]]


def test_the_output_is_cut_behind_an_eos_inside_the_draft():
    state = state_of(1)
    assert commit(state, [[4, EOS, 6]], [3], [7]) == [2]
    assert outputs(state) == [[4, EOS]]
    state.read()
    assert not state.is_open


def test_an_eos_that_was_not_accepted_ends_nothing():
    state = state_of(1)
    assert commit(state, [[4, EOS, 6]], [1], [7]) == [2]
    assert outputs(state) == [[4, 7]]
    state.read()
    assert state.is_open


def test_a_finished_row_stays_as_it_is():
    state = state_of(2)
    commit(state, [[4, 5, 6]] * 2, [0, 0], [EOS, 7])
    assert commit(state, [[8, 8, 8]] * 2, [3, 3], [9, 9]) == [0, 4]
    assert outputs(state) == [[EOS], [7, 8, 8, 8, 9]]


def test_a_rejected_tail_is_overwritten_by_the_next_block():
    state = state_of(1)
    commit(state, [[4, 5, 6]], [1], [7])
    commit(state, [[8, 9, 9]], [0], [5])
    assert outputs(state) == [[4, 7, 5]]


def test_dropped_rows_come_back_in_their_place():
    state = state_of(3)
    commit(state, [[4, 5, 6]] * 3, [0, 1, 0], [7, EOS, 8])
    state.read()
    assert state.is_open
    rows = state.rows_to_keep()
    assert rows.tolist() == [0, 2]
    state.select_rows(rows)
    commit(state, [[9, 9, 9]] * 2, [1, 0], [EOS, EOS])
    assert outputs(state) == [[7, 9, EOS], [4, EOS], [8, EOS]]


def trimmed(state, drafts, lengths):
    draft = state.trim(DraftBlock(torch.tensor(drafts, dtype=torch.int64), torch.tensor(lengths)))
    return draft.tokens.tolist(), draft.lengths.tolist()


def test_a_draft_is_cut_to_its_longest_row():
    assert trimmed(state_of(2), [[4, 5, 6], [7, 8, 9]], [1, 2]) == ([[4, 5], [7, 8]], [1, 2])
    assert trimmed(state_of(2), [[4, 5, 6], [7, 8, 9]], [0, 3]) == ([[4, 5, 6], [7, 8, 9]], [0, 3])


def test_a_draft_of_nothing_has_no_columns():
    assert trimmed(state_of(2), [[4, 5, 6], [7, 8, 9]], [0, 0]) == ([[], []], [0, 0])
    assert trimmed(state_of(2), [[], []], [0, 0]) == ([[], []], [0, 0])


def test_finished_rows_draft_nothing():
    state = state_of(2)
    commit(state, [[4, 5, 6]] * 2, [0, 0], [EOS, 7])
    assert trimmed(state, [[4, 5, 6], [7, 8, 9]], [3, 1]) == ([[4], [7]], [0, 1])


def test_a_draft_leaves_room_for_the_token_after_it():
    state = DecodeState(Limits(pad=1, unk=3, eos=EOS, max_len=5), torch.full((2,), EOS), 3)
    assert trimmed(state, [[4, 5, 6]] * 2, [3, 3])[1] == [3, 3]
    commit(state, [[4, 5, 6]] * 2, [3, 1], [7, 7])
    assert trimmed(state, [[4, 5, 6]] * 2, [3, 3]) == ([[4, 5, 6]] * 2, [1, 3])
    commit(state, [[4, 5, 6]] * 2, [0, 0], [7, 7])
    assert trimmed(state, [[4, 5, 6]] * 2, [3, 3]) == ([[4, 5]] * 2, [0, 2])


def test_blocks_of_different_widths_follow_each_other():
    state = state_of(1, block_size=4)
    for draft, accepted, following, n_kept in (([4, 5, 6, 7], 2, 8, 3), ([], 0, 9, 1), ([4], 1, 5, 2)):
        assert commit(state, [draft], [accepted], [following]) == [n_kept]
        state.read()
    assert outputs(state) == [[4, 5, 8, 9, 4, 5]]
    assert state.tally.counts()[0] == [0, 1, 1, 1, 0, 0]


def test_scores_follow_their_tokens():
    state = state_of(1)
    commit(state, [[4, 5, 6]], [2], [7])
    _, scores, lengths, _ = state.result()
    assert scores[0, 1 : lengths[0]].tolist() == [-4.0, -5.0, -7.0]


def test_steps_number_the_tokens_that_are_predicted():
    state = state_of(2)
    assert state.steps(4).tolist() == [[0, 1, 2, 3]] * 2
    commit(state, [[4, 5, 6]] * 2, [0, 2], [7, 7])
    assert state.steps(4).tolist() == [[1, 2, 3, 4], [3, 4, 5, 6]]


def test_chances_are_those_of_all_tokens_up_to_each_place():
    logits = torch.tensor([[[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]], [[0.3, 0.7], [0.6, 0.4], [0.6, 0.4]]]).log()
    draft = DraftBlock(logits.argmax(-1), torch.tensor([3, 1]), logits)
    torch.testing.assert_close(draft.chances(), torch.tensor([[0.9, 0.45, 0.36], [0.7, 0.0, 0.0]]))


def test_the_tally_counts_rounds_drafts_and_accepted_tokens_of_open_rows():
    state = state_of(2)
    commit(state, [[4, 5, 6], [4, EOS, 6]], [1, 3], [7, 7])
    state.read()
    commit(state, [[4, 5, 6]] * 2, [3, 3], [7, 7])
    state.read()
    assert state.tally.counts() == ([0, 0, 2, 0, 1], 9, 1 + 2 + 3)
    assert state_of(2).tally.counts() == ([0] * 5, 0, 0)


def test_forced_tokens_take_the_place_of_drafted_ones_and_do_not_count():
    prefix = torch.tensor([[7, 8], [7, 1], [1, 1]])  # two tokens, one and none
    state = DecodeState(replace(LIMITS, prefix=prefix), torch.full((3,), EOS), 3)
    draft = state.force(DraftBlock(torch.full((3, 3), 4), torch.tensor([3, 0, 3])))
    assert draft.tokens.tolist() == [[7, 8, 4], [7, 4, 4], [4, 4, 4]]
    assert draft.lengths.tolist() == [3, 1, 3]
    lprobs = -torch.arange(10.0).expand(3, 4, 10)
    state.commit(draft, Verdict(torch.tensor([3, 1, 2]), torch.tensor([5, 5, 5])), lprobs)
    assert state.read().tolist() == [[4, 2, 3], [3, 1, 3], [3, 1, 2]]  # what a round cost and brought
    assert state.tally.counts() == ([0, 0, 1, 1, 1], 1 + 0 + 3, 1 + 0 + 2)


def test_behind_its_end_a_prefix_forces_nothing():
    state = DecodeState(replace(LIMITS, prefix=torch.tensor([[7]])), torch.full((1,), EOS), 3)
    commit(state, [[7, 5, 6]], [1], [5])
    state.read()
    draft = DraftBlock(torch.full((1, 3), 4), torch.tensor([2]))
    assert state.force(draft) is draft
