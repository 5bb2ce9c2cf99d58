"""Block masking and glancing as functions of tensors."""

import pytest
import torch

from fairseq_specdec.training.masking import (
    Glance,
    cut_points,
    glance_ratio,
    loss_positions,
    mask_block,
    mask_sample,
    reveal,
    validation_uniform,
)
from tests.vectors import VECTORS, with_vectors

PAD, EOS, UNK = 1, 2, 3
TARGET = torch.tensor([[10, 11, 12, 13, EOS], [20, EOS, PAD, PAD, PAD]])


def permuted_order(case, loss):
    """Random numbers that sort as the reference's permutations do."""
    order = torch.full(case["masked_input"].shape, torch.inf)
    permutations = iter(loss["permutations"])
    for row, count in enumerate(((loss["mask_lengths"] - loss["same"]) * loss["context_p"]).long().tolist()):
        if count > 0:
            permutation = next(permutations)
            order[row, loss["kept_prefix_lengths"][row] + permutation] = torch.arange(len(permutation)).float()
    return order


@with_vectors
def test_cuts_inputs_and_targets_equal_those_of_the_reference():
    vectors = torch.load(VECTORS / "training_vectors.pt", weights_only=True)
    for case in vectors["cases"]:
        kept = cut_points(case["target"], case["uniform"], PAD)
        assert kept.equal(case["kept_lengths"]), case["name"]
        width = int(kept.max()) + vectors["block_size"]
        tokens, target = mask_block(case["target"], kept, vectors["block_size"], width, PAD, UNK)
        assert tokens.equal(case["masked_input"]), case["name"]
        assert target.equal(case["masked_target"]), case["name"]


@with_vectors
def test_glancing_reveals_what_the_reference_reveals():
    checked = 0
    for case in torch.load(VECTORS / "training_vectors.pt", weights_only=True)["cases"]:
        tokens, target = case["masked_input"], case["masked_target"]
        for loss in (loss for loss in case["losses"] if loss["context_p"] is not None):
            masked = loss_positions(tokens, target, PAD, UNK)
            correct = masked & loss["first_pass_predictions"].eq(target)
            assert masked.sum(dim=1).equal(loss["mask_lengths"]) and correct.sum(dim=1).equal(loss["same"])
            glance = Glance(target, permuted_order(case, loss), loss["context_p"])
            revealed, still = reveal(tokens, masked, correct, glance)
            assert revealed.equal(loss["decoder_input"]), case["name"]
            assert target.masked_fill(~still, PAD).equal(loss["loss_target"]), case["name"]
            checked += 1
    assert checked > 10


@pytest.mark.parametrize(
    ("uniform", "kept"), [(0.0, [4, 1]), (0.5, [2, 0]), (0.99999, [0, 0]), (0.2, [3, 1])]
)  # lengths 5 and 2
def test_cut_points_leave_at_least_one_token_to_predict(uniform, kept):
    assert cut_points(TARGET, torch.full((2,), uniform), PAD).tolist() == kept


def test_all_cut_points_are_equally_likely():
    uniform = torch.arange(1000) / 1000
    kept = cut_points(TARGET[:1].expand(1000, -1), uniform, PAD)
    assert kept.bincount().tolist() == [200] * 5


def test_masks_follow_the_kept_tokens_even_past_the_end_of_the_target():
    tokens, target = mask_block(TARGET, torch.tensor([3, 1]), 4, 7, PAD, UNK)
    assert tokens.tolist() == [[10, 11, 12, UNK, UNK, UNK, UNK], [20, UNK, UNK, UNK, UNK, PAD, PAD]]
    assert target.tolist() == [[10, 11, 12, 13, EOS, PAD, PAD], [20, EOS, PAD, PAD, PAD, PAD, PAD]]
    assert loss_positions(tokens, target, PAD, UNK).nonzero().tolist() == [[0, 3], [0, 4], [1, 1]]


def test_targets_wider_than_the_input_are_cut():
    tokens, target = mask_block(TARGET, torch.tensor([0, 0]), 2, 2, PAD, UNK)
    assert tokens.tolist() == [[UNK, UNK]] * 2
    assert target.tolist() == [[10, 11], [20, EOS]]


def test_the_batch_says_how_long_its_prefixes_are():
    sample = {"target": TARGET, "net_input": {}}
    masked = mask_sample(sample, torch.tensor([0.4, 0.0]), 2, 20, PAD, UNK)["net_input"]
    tokens, lengths = masked["prev_output_tokens"], masked["prefix_lengths"]
    assert lengths.tolist() == [2, 1] and tokens.eq(UNK).int().argmax(1).equal(lengths)


def test_masking_leaves_the_sample_alone_and_stays_inside_the_positions():
    net_input = {"src_tokens": torch.zeros(2, 3), "prev_output_tokens": torch.zeros(2, 5)}
    sample = {"id": torch.tensor([4, 5]), "target": TARGET, "net_input": net_input, "ntokens": 7}
    masked = mask_sample(sample, torch.zeros(2), block_size=4, max_positions=6, pad=PAD, mask=UNK)
    assert masked["net_input"]["prev_output_tokens"].tolist() == [
        [10, 11, 12, 13, UNK, UNK],
        [20, UNK, UNK, UNK, UNK, PAD],
    ]
    assert masked["target"].shape == (2, 6) and masked["ntokens"] == 7
    assert sample["target"] is TARGET and net_input["prev_output_tokens"].sum() == 0


@pytest.mark.parametrize(
    ("correct", "ratio", "revealed"),
    [
        ([0, 0, 0, 0, 0, 0], 0.5, 2),  # floor(5 * 0.5) of the five masked columns
        ([0, 0, 0, 0, 1, 1], 0.5, 1),  # right ones are subtracted first
        ([0, 1, 1, 1, 1, 1], 1.0, 0),
        ([0, 0, 0, 0, 0, 0], 0.0, 0),
        ([0, 0, 0, 0, 0, 0], 1.0, 5),
    ],
)
def test_glancing_reveals_the_floor_of_the_wrong_tokens_times_the_ratio(correct, ratio, revealed):
    masked = torch.tensor([[False, True, True, True, True, True]])
    tokens = torch.tensor([[9, UNK, UNK, UNK, UNK, UNK]])
    target = torch.tensor([[9, 21, 22, 23, 24, 25]])
    order = torch.tensor([[0.0, 0.5, 0.1, 0.9, 0.2, 0.7]])
    shown, still = reveal(tokens, masked, torch.tensor([correct]).bool(), Glance(target, order, ratio))
    first = [2, 4, 1, 5, 3][:revealed]  # masked columns by their random number
    assert shown.ne(tokens).nonzero()[:, 1].tolist() == sorted(first)
    assert still.equal(masked & shown.eq(UNK))
    assert shown.where(shown.ne(UNK), target).equal(target)


def test_rows_glance_by_their_own_mistakes():
    tokens = torch.tensor([[UNK, UNK], [UNK, PAD]])
    target = torch.tensor([[21, 22], [31, PAD]])
    masked = loss_positions(tokens, target, PAD, UNK)
    correct = torch.tensor([[True, False], [False, False]])
    shown, still = reveal(tokens, masked, correct, Glance(target, torch.tensor([[0.2, 0.1], [0.5, 0.0]]), 1.0))
    assert shown.tolist() == [[UNK, 22], [31, PAD]]
    assert still.tolist() == [[True, False], [False, False]]


def test_validation_cuts_depend_on_the_sentence_alone_and_cover_all_places():
    ids = torch.randperm(4000)
    uniform = validation_uniform(ids)
    assert uniform[ids == 17].equal(validation_uniform(torch.tensor([17])))
    assert uniform.min() >= 0 and uniform.max() < 1
    assert torch.histc(uniform, 10, 0, 1).sub(400).abs().max() < 20


@pytest.mark.parametrize(("update", "ratio"), [(0, 0.5), (50, 0.4), (100, 0.3), (500, 0.3)])
def test_the_glancing_ratio_falls_linearly_and_then_stays(update, ratio):
    assert glance_ratio(0.5, 0.3, update, 100) == pytest.approx(ratio)
    assert glance_ratio(0.5, 0.5, update, 0) == 0.5
