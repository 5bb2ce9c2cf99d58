"""Faces fairseq: takes its samples, gives its hypotheses, and runs the decoder in between."""

from __future__ import annotations

import math
from typing import Any

import fairseq
import torch
from torch import Tensor, nn

from fairseq_specdec.acceptance import accept_rule
from fairseq_specdec.blocks import Source
from fairseq_specdec.certificate import Certificate, certify
from fairseq_specdec.decode import SpecDecoder
from fairseq_specdec.drafters.base import Drafter
from fairseq_specdec.engine.verifier import EncoderOutput, Memory, Verifier
from fairseq_specdec.engine.weights import check_supported, read_verifier
from fairseq_specdec.options import GenerationOptions
from fairseq_specdec.rules import Limits
from fairseq_specdec.stats import SpecStats

Hypotheses = list[list[dict[str, Tensor]]]
# --match-source-len: fairseq 0.12.2 leaves eos out of the source length that it matches, later versions count it
EOS_NOT_MATCHED = int(fairseq.__version__ == "0.12.2")


def source_lengths(net_input: dict[str, Tensor], pad: int) -> Tensor:
    """Return [B] int64, the source lengths of a fairseq batch without padding, eos counted."""
    if net_input.get("src_lengths") is not None:
        return net_input["src_lengths"].long()
    return net_input["src_tokens"].ne(pad).sum(1)


def limits_of(
    options: GenerationOptions, dictionary: Any, models: list[nn.Module], source: Source, prefix: Tensor | None
) -> Limits:
    """Say what the generation options mean for a batch.

    Args:
        options: as given by the user.
        dictionary: the target dictionary.
        models: the verifier; its positions bound the length.
        source: the batch.
        prefix: [B, P] int64 or None, see `Limits`.

    Raises:
        OptionError: --min-len exceeds the maximum length.
    """
    match_lengths = source.lengths - EOS_NOT_MATCHED
    model_max = min(model.max_decoder_positions() for model in models)
    return Limits(
        pad=dictionary.pad(),
        unk=dictionary.unk(),
        eos=dictionary.eos(),
        max_len=options.max_len(source.tokens.size(1), int(match_lengths.max()), model_max),
        min_len=options.min_len,
        unk_penalty=options.unkpen,
        prefix=prefix,
        source_lengths=match_lengths if options.match_source_len else None,
    )


class SpecGenerator:
    """Decodes fairseq samples greedily, with drafts, in place of fairseq's ``SequenceGenerator``.

    Args:
        models: the verifier; several make an ensemble that averages probabilities.
        dictionary: the target dictionary.
        drafter: proposes tokens.
        options: generation options.
        stats: adds up what happens; its config also says beta, tau and whether to certify.

    Raises:
        UnsupportedModelError: the engine cannot run one of the models.
    """

    def __init__(
        self, models: list[nn.Module], dictionary: Any, drafter: Drafter, options: GenerationOptions, stats: SpecStats
    ) -> None:
        for model in models:
            model.eval()  # returns None once fairseq has prepared a model for inference
        self.models = models
        self.dictionary = dictionary
        self.pad, self.eos = dictionary.pad(), dictionary.eos()
        self.symbols_to_strip_from_output = {self.eos}
        self.drafter = drafter
        self.options = options
        self.stats = stats
        self.certificate = Certificate() if stats.config.certify else None
        self._decoder: SpecDecoder | None = None
        for model in self.models:
            check_supported(model.decoder)  # refuse before any data is read

    def weights_changed(self) -> None:
        """Read the models' weights again before the next batch; call it when training has moved them."""
        self._decoder = None

    @torch.no_grad()
    def generate(
        self,
        models: list[nn.Module],
        sample: dict[str, Any],
        prefix_tokens: Tensor | None = None,
        constraints: Tensor | None = None,
        bos_token: int | None = None,
    ) -> Hypotheses:
        """Decode one sample.

        Args:
            models: ignored, as by fairseq's own generator; the models given at construction are used.
            sample: a fairseq batch; ``net_input`` holds src_tokens [B, S] and src_lengths [B].
            prefix_tokens: [B, P] int64, forced first tokens, pad where a row has fewer.
            constraints: must be None.
            bos_token: the token to start from instead of eos.

        Returns:
            for each sentence a list of one hypothesis, a dict of tokens [n] int64 (ending in eos), score [],
            positional_scores [n] float32, attention and alignment (both empty).

        Raises:
            ValueError: the verifier gives no finite score.
        """
        assert constraints is None, "lexical constraints are refused when the generator is built"
        run = self.stats.time("total", self._generate)
        return run(sample, prefix_tokens, bos_token)

    def _generate(self, sample: dict[str, Any], prefix_tokens: Tensor | None, bos_token: int | None) -> Hypotheses:
        decoder = self._ready_decoder()
        net_input = sample["net_input"]
        source = Source(net_input["src_tokens"], source_lengths(net_input, self.pad), self.pad)
        limits = limits_of(self.options, self.dictionary, self.models, source, prefix_tokens)
        encoded = self.stats.time("encode", self._encode)(net_input)
        first = source.lengths.new_full(source.lengths.shape, self.eos if bos_token is None else bos_token)
        state = decoder.decode(source, self._memory(encoded), limits, first)
        tokens, scores, lengths = state.result()
        if self.certificate is not None:
            self._certify(encoded, tokens, lengths, limits)
        self.stats.add(state.tally, source.tokens.size(0))
        return self._hypotheses(tokens, scores, lengths.tolist(), (source.lengths - EOS_NOT_MATCHED).tolist())

    def _ready_decoder(self) -> SpecDecoder:
        """Return the decoder over the models' weights as they are now."""
        like = self.models[0].decoder.embed_tokens.weight
        old = self._decoder
        if old is None or old.verifier.decoders[0].weights.embedding.data_ptr() != like.data_ptr():
            self.stats.device, self.stats.dtype = like.device.type, str(like.dtype).removeprefix("torch.")
            weights = [read_verifier(model.decoder) for model in self.models]
            self.drafter.to(like.device, like.dtype)
            timed = self.stats.timed
            self._decoder = SpecDecoder(
                timed(Verifier(weights, self.options.temperature), start="encode", score="verify", commit="verify"),
                timed(self.drafter, start="encode", propose="draft", advance="draft"),
                accept_rule(self.stats.config.beta, self.stats.config.tau),
            )
        return self._decoder

    def _encode(self, net_input: dict[str, Tensor]) -> list[dict[str, list[Tensor]]]:
        return [model.encoder.forward_torchscript(net_input) for model in self.models]

    @staticmethod
    def _memory(encoded: list[dict[str, list[Tensor]]]) -> Memory:
        """Turn fairseq's [S, B, C] into [B, S, C]; a padding mask without padding becomes None."""
        outputs = []
        for out in encoded:
            padding = next(iter(out["encoder_padding_mask"]), None)
            if padding is not None and not padding.any():  # host sync: once a batch
                padding = None
            outputs.append(EncoderOutput(out["encoder_out"][0].transpose(0, 1), padding))
        return outputs

    def _certify(self, encoded: list[Any], tokens: Tensor, lengths: Tensor, limits: Limits) -> None:
        assert self.certificate is not None
        checked = certify(self.models, encoded, tokens, lengths, limits, self.options.temperature)
        self.certificate.add(checked)
        self.stats.certificate = self.certificate.as_dict()

    def _hypotheses(self, tokens: Tensor, scores: Tensor, lengths: list[int], source_lengths: list[int]) -> Hypotheses:
        """Cut the rows into fairseq's hypotheses."""
        finite = torch.isfinite(scores).all(1).tolist()
        hypotheses = []
        for row, n in enumerate(lengths):
            own = scores[row, 1:n].clone()
            if not (finite[row] or torch.isfinite(own).all()):
                raise ValueError(
                    "the verifier gives no finite score for any token it may choose: its weights or its encoder output "
                    "hold NaN or infinite values; check the checkpoint given by --path (and --fp16, if it overflows)."
                )
            total = own.sum()
            score = total / (n - 1) ** self.options.lenpen if self.options.normalize else total
            if self.options.match_source_len and n - 2 > source_lengths[row]:
                score = torch.full_like(score, -math.inf)
            hypotheses.append([{
                "tokens": tokens[row, 1:n].clone(),
                "score": score,
                "attention": torch.empty(0),
                "alignment": torch.empty(0),
                "positional_scores": own,
            }])  # fmt: skip
        return hypotheses
