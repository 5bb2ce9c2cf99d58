"""The drafter's loss: against the reference's losses and gradients, and by its properties."""

from argparse import Namespace
from types import SimpleNamespace

import pytest
import torch
from fairseq.data import Dictionary
from fairseq.logging import metrics

from fairseq_specdec.criterions.spec_drafter_loss import SpecDrafterLoss, smoothed_loss
from fairseq_specdec.models.drafter_config import apply_architecture
from fairseq_specdec.models.load import load_drafter
from fairseq_specdec.models.spec_drafter import SpecDrafterModel
from fairseq_specdec.training.masking import Glance, loss_positions
from tests import tiny
from tests.training.test_masking import permuted_order
from tests.vectors import VECTORS, with_vectors

PAD, EOS, UNK = 1, 2, 3


def criterion(**options):
    dictionary = tiny.make_dictionary("s", "t")
    task = SimpleNamespace(block_size=3, target_dictionary=dictionary, source_dictionary=dictionary)
    values = {"label_smoothing": 0.1, "glance_start": 0.5, "glance_end": 0.3, "glance_updates": 0, "max_update": 100}
    return SpecDrafterLoss(task, **{**values, **options})


def drafter(dropout=0.0):
    torch.manual_seed(1)
    dictionary = tiny.make_dictionary("s", "t")
    args = Namespace(max_source_positions=20, max_target_positions=20, dropout=dropout)
    apply_architecture(args, "spec_drafter_tiny")
    task = SimpleNamespace(source_dictionary=dictionary, target_dictionary=dictionary)
    return SpecDrafterModel.build_model(args, task)


def sample():
    return {
        "id": torch.tensor([0, 1]),
        "ntokens": 8,
        "target": torch.tensor([[10, 11, 12, 13, EOS], [20, 21, EOS, PAD, PAD]]),
        "net_input": {
            "src_tokens": torch.tensor([[5, 6, 7, EOS], [PAD, 8, 9, EOS]]),
            "src_lengths": torch.tensor([4, 3]),
            "prev_output_tokens": torch.tensor([[10, 11, UNK, UNK, UNK], [UNK, UNK, UNK, PAD, PAD]]),
        },
    }


def grad_norm(model):
    return torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None]).norm()


@with_vectors
def test_losses_and_gradients_equal_those_of_the_reference():
    dictionary = Dictionary.load(str(VECTORS / "dict.txt"))
    model, _ = load_drafter(str(VECTORS / "drafter.pt"), dictionary)
    checked = 0
    for case in torch.load(VECTORS / "training_vectors.pt", weights_only=True)["cases"]:
        tokens, target = case["masked_input"], case["masked_target"]
        for expected in case["losses"]:
            masked, glance = loss_positions(tokens, target, PAD, UNK), None
            if expected["context_p"] is None:
                masked = target.ne(PAD)  # the reference's validation counts the kept prefix too
            else:
                glance = Glance(target, permuted_order(case, expected), expected["context_p"])
            model.zero_grad()
            logits, extra = model(case["src_tokens"], case["src_lengths"], tokens, loss_mask=masked, glance=glance)
            loss, nll = smoothed_loss(logits, target[extra["loss_mask"]], expected["label_smoothing"])
            loss.backward()
            assert loss.item() == pytest.approx(expected["loss"], abs=1e-5), case["name"]
            assert nll.item() == pytest.approx(expected["nll_loss"], abs=1e-5), case["name"]
            assert grad_norm(model).item() == pytest.approx(expected["grad_norm"], rel=1e-5, abs=1e-6), case["name"]
            if "grad_copy_attn" in expected:
                found = model.decoder.copy_attn.weight.grad
                torch.testing.assert_close(found, expected["grad_copy_attn"], rtol=1e-5, atol=1e-6)
            checked += 1
    assert checked > 20


def test_smoothing_mixes_the_likelihood_with_the_mean_over_the_vocabulary():
    logits, target = torch.randn(3, 7, requires_grad=True), torch.tensor([1, 0, 6])
    loss, nll = smoothed_loss(logits, target, 0.1)
    expected = torch.nn.functional.cross_entropy(logits, target, label_smoothing=0.1)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(nll, torch.nn.functional.cross_entropy(logits, target).detach())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_summed_in_single_precision(dtype):
    loss, nll = smoothed_loss(torch.randn(3, 7, dtype=dtype), torch.tensor([1, 0, 6]), 0.1)
    assert loss.dtype == nll.dtype == torch.float32


def test_validation_averages_over_the_masked_targets_alone():
    model, batch = drafter().eval(), sample()
    with torch.no_grad():
        loss, size, log = criterion()(model, batch)
        masked = batch["net_input"]["prev_output_tokens"].eq(UNK) & batch["target"].ne(PAD)
        logits, _ = model(**batch["net_input"])
    expected = torch.nn.functional.cross_entropy(logits[masked], batch["target"][masked], label_smoothing=0.1)
    torch.testing.assert_close(loss, expected)
    assert (size, log["sample_size"], log["loss_tokens"], int(log["masked"])) == (1, 1, 6, 6)
    torch.testing.assert_close(log["loss"], 6 * expected)
    changed = {**batch, "target": torch.tensor([[30, 31, 12, 13, EOS], [20, 21, EOS, PAD, PAD]])}
    assert criterion()(model, changed)[0].item() == pytest.approx(loss.item())


def test_validation_does_not_glance_and_is_repeatable():
    model, batch = drafter(dropout=0.3).eval(), {**sample(), "update_num": 5}
    losses = {criterion(glance_start=1.0, glance_end=1.0)(model, batch)[0].item() for _ in range(3)}
    assert len(losses) == 1


def test_training_reveals_tokens_and_leaves_them_out_of_the_loss():
    model, batch = drafter().train(), {**sample(), "update_num": 0}
    _, _, log = criterion()(model, batch)
    wrong = int(log["masked"] - log["correct"])
    assert wrong > 0 and int(log["masked"]) == 6
    # rows of three masked tokens each: floor of half the wrong ones in each row
    assert log["loss_tokens"] in (4, 5, 6) and log["loss_tokens"] < 6


def test_nothing_left_to_predict_is_a_zero_loss_with_a_gradient():
    model, batch = drafter().train(), {**sample(), "update_num": 0}
    wrong_everywhere = {**batch, "target": batch["target"].where(batch["target"].eq(PAD), 40)}
    loss, _, log = criterion(glance_start=1.0, glance_end=1.0)(model, wrong_everywhere)
    loss.backward()
    assert int(log["correct"]) == 0 and log["loss_tokens"] == 0 and loss.item() == 0
    assert all(p.grad is not None and p.grad.abs().max() == 0 for p in model.decoder.layers.parameters())


def test_both_passes_of_a_glancing_step_drop_the_same_units():
    model, batch = drafter(dropout=0.5).train(), sample()
    masked = loss_positions(batch["net_input"]["prev_output_tokens"], batch["target"], PAD, UNK)
    seen = []
    model.decoder.layers[-1].register_forward_hook(lambda module, args, out: seen.append(out[0].detach()))
    glance = Glance(batch["target"], torch.rand(2, 5), 0.0)  # ratio 0: both passes read the same input
    model(**batch["net_input"], loss_mask=masked, glance=glance)
    model(**batch["net_input"], loss_mask=masked, glance=glance)
    first, second, third, _ = seen
    assert first.equal(second) and not first.equal(third)


def test_the_first_pass_does_not_change_the_random_numbers_of_what_follows():
    batch = sample()
    masked = loss_positions(batch["net_input"]["prev_output_tokens"], batch["target"], PAD, UNK)
    model = drafter(dropout=0.5).train()
    after = []
    for glance in (None, Glance(batch["target"], torch.rand(2, 5), 0.0)):
        torch.manual_seed(3)
        logits, _ = model(**batch["net_input"], loss_mask=masked, glance=glance)
        after.append((logits.detach(), torch.rand(4)))
    assert after[0][0].equal(after[1][0]) and after[0][1].equal(after[1][1])


def test_metrics_are_means_over_tokens_and_not_over_batches():
    logs = [
        {"loss": 30.0, "nll_loss": 20.0, "loss_tokens": 10, "correct": 6, "masked": 12, "sample_size": 1},
        {"loss": 2.0, "nll_loss": 1.0, "loss_tokens": 1, "correct": 0, "masked": 3, "sample_size": 1},
    ]
    with metrics.aggregate() as found:
        SpecDrafterLoss.reduce_metrics(logs)
    values = found.get_smoothed_values()
    assert values["loss"] == pytest.approx(32 / 11 / 0.693147, abs=1e-3)
    assert values["mask_accuracy"] == pytest.approx(40.0)
    assert SpecDrafterLoss.logging_outputs_can_be_summed()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_smoothing": 1.5}, "--label-smoothing must lie between 0 and 1, got 1.5"),
        ({"glance_start": -0.1}, "--glance-start must lie between 0 and 1, got -0.1"),
        ({"glance_end": 2.0}, "--glance-end must lie between 0 and 1, got 2.0"),
        ({"max_update": 0}, "needs a known length, got --max-update 0: pass --max-update or --glance-updates"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        criterion(**options)


def test_a_run_of_unknown_length_is_fine_with_a_constant_ratio_or_its_own_schedule():
    assert criterion(max_update=0, glance_end=0.5).glance_updates == 0
    assert criterion(max_update=0, glance_updates=70).glance_updates == 70


def test_another_task_is_refused():
    task = SimpleNamespace(target_dictionary=tiny.make_dictionary("t"))
    with pytest.raises(ValueError, match="--task spec_drafter, got SimpleNamespace: pass --task spec_drafter"):
        SpecDrafterLoss(task, 0.1, 0.5, 0.3, 0, 100)
