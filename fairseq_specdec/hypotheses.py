"""fairseq's hypotheses: what a search found, scored, in order, and aligned where that is asked for."""

from __future__ import annotations

import math
from typing import Any

import torch
from fairseq import utils
from fairseq.data import data_utils
from torch import Tensor, nn

from fairseq_specdec.options import GenerationOptions
from fairseq_specdec.search.nbest import NBest

Hypothesis = dict[str, Tensor]
Hypotheses = list[list[Hypothesis]]  # of each sentence


def rank_hypotheses(found: NBest, options: GenerationOptions, source_lengths: list[int]) -> Hypotheses:
    """Score the hypotheses of each sentence and put the best first, as fairseq does.

    Args:
        found: by the search.
        options: say how the length counts.
        source_lengths: of each sentence, as --match-source-len counts.

    Raises:
        ValueError: the verifier gives no finite score.
    """
    lengths, counts = found.lengths.tolist(), found.n.tolist()
    finite = torch.isfinite(found.scores).all(2).all(1).tolist()  # what lies past the lengths counted; else looked at
    sentences = []
    for row, n_found in enumerate(counts):
        hypotheses = []
        for place in range(n_found):
            n = lengths[row][place]
            own = found.scores[row, place, :n].clone()
            score = found.totals[row, place] / n**options.lenpen if options.normalize else found.totals[row, place]
            if options.match_source_len and n - 1 > source_lengths[row]:
                score = torch.full_like(score, -math.inf)
            hypotheses.append(
                {
                    "tokens": found.tokens[row, place, :n].clone(),
                    "score": score,
                    "attention": torch.empty(0),
                    "alignment": torch.empty(0),
                    "positional_scores": own,
                }
            )
        own_finite = finite[row] or all(torch.isfinite(one["positional_scores"]).all() for one in hypotheses)
        if not (hypotheses and own_finite):
            raise ValueError(
                "the verifier gives no finite score for any token it may choose: its weights or its encoder output "
                "hold NaN or infinite values; check the checkpoint given by --path (and --fp16, if it overflows)."
            )
        if len(hypotheses) > 1:  # the call that decides for fairseq which of equal scores comes first
            order = torch.sort(torch.tensor([float(one["score"]) for one in hypotheses]), descending=True).indices
            hypotheses = [hypotheses[i] for i in order.tolist()]
        sentences.append(hypotheses)
    return sentences


def align(
    models: list[nn.Module], dictionary: Any, net_input: dict[str, Tensor], sentences: Hypotheses, kind: str
) -> None:
    """Add to each hypothesis its attention [S, n] and its alignment, by stock modules.

    Attention is that of one pass over the whole hypothesis: fairseq's own in models that align so
    (--full-context-alignment), and for others what its steps see one after the other.

    Args:
        models: an ensemble averages attention.
        dictionary: the target's.
        net_input: fairseq's, of the batch.
        sentences: changed in place.
        kind: "hard" (pairs of places) or "soft" (probabilities).
    """
    pad, eos = dictionary.pad(), dictionary.eos()
    every = [hypothesis for hypotheses in sentences for hypothesis in hypotheses]
    counts = torch.tensor([len(hypotheses) for hypotheses in sentences], device=net_input["src_tokens"].device)
    rows = torch.arange(counts.numel(), device=counts.device).repeat_interleave(counts)
    tokens = [hypothesis["tokens"] for hypothesis in every]
    previous = data_utils.collate_tokens(tokens, pad, eos, move_eos_to_beginning=True)
    following = data_utils.collate_tokens(tokens, pad, eos)
    source = net_input["src_tokens"].index_select(0, rows)
    each = []
    for model in models:
        encoded = model.encoder.reorder_encoder_out(model.encoder.forward_torchscript(net_input), rows)
        each.append(model.decoder(previous, encoder_out=encoded)[1]["attn"][0])
    attention = torch.stack(each).mean(0).cpu()  # [n hypotheses, longest, S]
    extract = utils.extract_hard_alignment if kind == "hard" else utils.extract_soft_alignment
    for i, hypothesis in enumerate(every):
        hypothesis["attention"] = attention[i, : len(tokens[i])].transpose(0, 1)
        hypothesis["alignment"] = extract(attention[i], source[i].cpu(), following[i].cpu(), pad, eos)
