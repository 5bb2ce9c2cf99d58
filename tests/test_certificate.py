from argparse import Namespace
from types import SimpleNamespace

import pytest
import torch
from fairseq import checkpoint_utils, tasks
from torch import nn

from fairseq_specdec import certificate
from fairseq_specdec.certificate import LARGEST, NEAR_TIE, Certificate, certify
from fairseq_specdec.rules.limits import Limits

PAD, EOS, UNK = 1, 2, 3
LIMITS = Limits(pad=PAD, unk=UNK, eos=EOS, max_len=6, min_len=0)


class Table(nn.Module):
    """A model whose logits depend on the position alone: row t of a table [T, V] for the t-th token."""

    def __init__(self, logits, dtype=torch.float32):
        super().__init__()
        self.logits = torch.tensor(logits, dtype=dtype)
        vocabulary = self.logits.size(1)
        self.embed_tokens = nn.Embedding(vocabulary, 2).to(dtype)
        self.output_projection = nn.Linear(2, vocabulary)
        self.encoder = SimpleNamespace(reorder_encoder_out=lambda encoded, rows: encoded)
        self.seen = []

    @property
    def decoder(self):
        return self

    def forward(self, tokens, encoder_out):
        self.seen.append(tokens.tolist())
        return self.logits[: tokens.size(1)].expand(tokens.size(0), -1, -1), {}

    def get_normalized_probs(self, out, log_probs, sample):
        assert log_probs and sample is None
        return torch.log_softmax(out[0], dim=-1, dtype=torch.float32)


# the best token at each position: 4, 5, 4, eos
BEST = [
    [0.0, 9.0, 0.0, 0.0, 2.0, 1.0],
    [0.0, 9.0, 0.0, 0.0, 1.0, 2.0],
    [0.0, 9.0, 0.0, 0.0, 2.0, 1.0],
    [0.0, 9.0, 3.0, 0.0, 0.0, 1.0],
]


def check(outputs, logits=BEST, limits=LIMITS, dtype=torch.float32, temperature=1.0, models=None):
    """Certify outputs (lists without the initial eos) of a table model."""
    width = max(map(len, outputs)) + 3  # longer than needed, and filled with what must not be looked at
    tokens = torch.tensor([[EOS, *row] + [7] * (width - len(row)) for row in outputs])
    lengths = torch.tensor([len(row) + 1 for row in outputs])
    models = models or [Table(logits, dtype)]
    return certify(models, [None] * len(models), tokens, lengths, limits, temperature)


def test_argmax_tokens_are_exact_and_eos_counts():
    assert check([[4, 5, 4, EOS]]) == Certificate(tokens=4, exact=4)


def test_wrong_token_is_counted_with_its_gap():
    found = check([[4, 4, 4, EOS]])
    assert (found.tokens, found.exact, found.near_tie, found.wrong) == (4, 3, 0, 1)
    assert found.largest_gap == pytest.approx(1.0)


def test_rows_end_at_their_own_length_and_padding_is_not_counted():
    found = check([[4, 5, 4, EOS], [4], [4, 5]])
    assert (found.tokens, found.exact) == (7, 7)


def test_tokens_behind_a_row_are_shown_to_the_model_as_padding():
    model = Table(BEST)
    check([[4, 5, 4, EOS], [4, 5]], models=[model])
    assert model.seen == [[[EOS, 4, 5, 4], [EOS, 4, 5, PAD]]]


@pytest.mark.parametrize(
    ("dtype", "gap", "kind"),
    [
        (torch.float32, 5e-5, "near_tie"),
        (torch.float32, 1e-3, "wrong"),
        (torch.float16, 1e-2, "near_tie"),
        (torch.float16, 4e-2, "wrong"),
        (torch.bfloat16, 1 / 64, "near_tie"),
        (torch.bfloat16, 1 / 16, "wrong"),
    ],
)
def test_near_tie_depends_on_the_precision(dtype, gap, kind):
    logits = [[0.0, 0.0, 0.0, 0.0, 1.0 + gap, 1.0]]
    found = check([[5]], logits, dtype=dtype)
    assert getattr(found, kind) == 1
    assert found.exact == 0
    assert (found.largest_gap < NEAR_TIE[dtype]) == (kind == "near_tie")


def test_of_tokens_that_tie_that_which_fairseq_takes_is_exact():
    logits = [[0.0, 0.0, 0.0, 0.0, 1.0, 1.0]]
    taken = torch.topk(torch.tensor(logits[0]), 2).indices[0].item()
    assert check([[taken]], logits).exact == 1
    assert check([[9 - taken]], logits).near_tie == 1


def test_impossible_token_has_the_largest_gap_and_it_is_finite():
    found = check([[PAD]])
    assert found.wrong == 1
    assert found.largest_gap == pytest.approx(LARGEST)
    assert check([[4]], [[float("nan")] * 6]).wrong == 1


def test_limits_of_the_run_decide_what_is_right():
    forced_end = Limits(pad=PAD, unk=UNK, eos=EOS, max_len=1, min_len=0)
    assert check([[4, EOS]], limits=forced_end).wrong == 0
    assert check([[4, EOS]]).wrong == 1
    early_end = [[0.0, 0.0, 3.0, 0.0, 2.0, 1.0]] * 2
    assert check([[4, EOS]], early_end, Limits(pad=PAD, unk=UNK, eos=EOS, max_len=6, min_len=1)).wrong == 0
    assert check([[4, EOS]], early_end).wrong == 1
    unknown = [[0.0, 0.0, 0.0, 3.0, 2.0, 1.0]]
    assert check([[4]], unknown, Limits(pad=PAD, unk=UNK, eos=EOS, max_len=6, min_len=0, unk_penalty=2.0)).wrong == 0
    assert check([[4]], unknown).wrong == 1


def test_forced_prefix_is_right_in_its_own_row_only():
    limits = Limits(pad=PAD, unk=UNK, eos=EOS, max_len=6, min_len=0, prefix=torch.tensor([[5], [PAD]]))
    found = check([[5, 5, 4, EOS], [5, 5, 4, EOS]], limits=limits)
    assert (found.exact, found.wrong) == (7, 1)


def test_large_batches_are_scored_in_parts_with_the_same_counts(monkeypatch):
    outputs = [[4, 5, 4, EOS], [4], [5, 5, EOS], [4, 5, 4, EOS], [4, 4]]
    limits = Limits(pad=PAD, unk=UNK, eos=EOS, max_len=6, min_len=0, prefix=torch.tensor([[PAD]] * 4 + [[4]]))
    whole = check(outputs, limits=limits)
    monkeypatch.setattr(certificate, "_MAX_SCORES", 2 * 5 * 6)
    model = Table(BEST)
    assert check(outputs, limits=limits, models=[model]) == whole
    assert [len(rows) for rows in model.seen] == [2, 2, 1]


def test_ensemble_averages_probabilities():
    sure, other = Table([[0.0, 0.0, 0.0, 0.0, 9.0, 0.0]]), Table([[0.0, 0.0, 0.0, 0.0, 0.0, 3.0]])
    assert check([[4]], models=[sure, other]).wrong == 0
    assert check([[5]], models=[sure, other]).wrong == 1


def test_temperature_scales_the_gap():
    assert check([[5]], temperature=0.5).largest_gap == pytest.approx(2.0)


def test_counts_add_up_and_the_largest_gap_stays():
    total = Certificate(tokens=3, exact=1, near_tie=1, wrong=1, largest_gap=0.5)
    total.add(Certificate(tokens=2, exact=2, largest_gap=0.25))
    assert total.as_dict() == {"tokens": 5, "exact": 3, "near_tie": 1, "wrong": 1, "largest_gap": 0.5}
    assert str(total) == "5 tokens, 3 exact, 1 near ties, 1 wrong, largest gap 5.00e-01"


def test_fairseqs_own_greedy_outputs_are_exact(data_bin, verifier):
    models, cfg = checkpoint_utils.load_model_ensemble([str(verifier)])
    task = tasks.setup_task(cfg.task)
    task.load_dataset("test")
    data = task.dataset("test")
    batch = data.collater([data[i] for i in range(16)])
    generator = task.build_generator(models, Namespace(beam=1, max_len_b=20))
    outputs = [row[0]["tokens"].tolist() for row in generator.generate(models, batch)]
    width = max(map(len, outputs))
    tokens = torch.tensor([[EOS, *row] + [PAD] * (width - len(row)) for row in outputs])
    lengths = torch.tensor([len(row) + 1 for row in outputs])
    encoded = [models[0].encoder.forward_torchscript(batch["net_input"])]
    limits = Limits(pad=PAD, unk=UNK, eos=EOS, max_len=20)
    found = certify(models, encoded, tokens, lengths, limits)
    assert (found.tokens, found.wrong) == (sum(map(len, outputs)), 0)
    tokens[3, 1] = 4 if tokens[3, 1] != 4 else 5
    assert certify(models, encoded, tokens, lengths, limits).wrong >= 1
