"""Faces fairseq: takes its samples, gives its hypotheses, and runs the search in between."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import fairseq
import torch
from fairseq import utils
from torch import Tensor, nn

from fairseq_specdec.beam_certificate import certify_beams
from fairseq_specdec.blocks import Source
from fairseq_specdec.certificate import Certificate, certify
from fairseq_specdec.config import OptionError
from fairseq_specdec.device import is_out_of_memory
from fairseq_specdec.drafters.base import Drafter
from fairseq_specdec.engine.encoder import FastEncoder
from fairseq_specdec.engine.graphs import CudaRecorder
from fairseq_specdec.engine.lent import Lending
from fairseq_specdec.engine.support import check_supported
from fairseq_specdec.engine.verifier import Verifier
from fairseq_specdec.engine.weights import read_verifier
from fairseq_specdec.hypotheses import Hypotheses, align, rank_hypotheses
from fairseq_specdec.options import Conventions, GenerationOptions
from fairseq_specdec.recording.ahead import AheadDecoder, Upcoming
from fairseq_specdec.recording.beams import RecordedBeamDecoder
from fairseq_specdec.recording.decoder import RecordedDecoder
from fairseq_specdec.rules.limits import Limits
from fairseq_specdec.search.acceptance import accept_rule
from fairseq_specdec.search.beam import BeamDecoder
from fairseq_specdec.search.candidates import Step
from fairseq_specdec.search.decode import Batch, SpecDecoder
from fairseq_specdec.search.mirror import MirrorDecoder
from fairseq_specdec.search.nbest import NBest
from fairseq_specdec.stats import SpecStats

logger = logging.getLogger(__name__)

NetInput = dict[str, Tensor]
# --match-source-len: fairseq 0.12.2 leaves eos out of the source length that it matches, later versions count it
EOS_NOT_MATCHED = int(fairseq.__version__ == "0.12.2")


def source_lengths(net_input: NetInput, pad: int) -> Tensor:
    """Return [B] int64, the source lengths of a fairseq batch without padding, eos counted."""
    if net_input.get("src_lengths") is not None:
        return net_input["src_lengths"].long()
    return net_input["src_tokens"].ne(pad).sum(1)


def limits_of(
    options: GenerationOptions,
    dictionary: Any,
    models: list[nn.Module],
    source: Source,
    prefix: Tensor | None,
    eos: int | None = None,
) -> Limits:
    """Say what the generation options mean for a batch.

    Args:
        options: as given by the user.
        dictionary: the target dictionary.
        models: the verifier; its positions bound the length.
        source: the batch.
        prefix: [B, P] int64 or None, see `Limits`.
        eos: that of the task; None: the dictionary's.

    Raises:
        OptionError: --min-len exceeds the maximum length.
    """
    match_lengths = source.lengths - EOS_NOT_MATCHED
    model_max = min(model.max_decoder_positions() for model in models)
    return Limits(
        pad=dictionary.pad(),
        unk=dictionary.unk(),
        eos=dictionary.eos() if eos is None else eos,
        max_len=options.max_len(source.tokens.size(1), int(match_lengths.max()), model_max),
        min_len=options.min_len,
        unk_penalty=options.unkpen,
        prefix=None if prefix is None else prefix.contiguous(),
        source_lengths=match_lengths if options.match_source_len else None,
        no_repeat_ngram=options.no_repeat_ngram_size,
    )


def batch_of(
    options: GenerationOptions,
    dictionary: Any,
    models: list[nn.Module],
    sample: dict[str, Any],
    prefix_tokens: Tensor | None = None,
    bos_token: int | Tensor | None = None,
    eos: int | None = None,
) -> Batch:
    """Say what a sample asks for; arguments as of `limits_of` and of `SpecGenerator.generate`."""
    net_input, pad = sample["net_input"], dictionary.pad()
    source = Source(net_input["src_tokens"], source_lengths(net_input, pad), pad, sample.get("id"))
    limits = limits_of(options, dictionary, models, source, prefix_tokens, eos)
    first = torch.full_like(source.lengths, limits.eos)
    if bos_token is not None:
        first[:] = bos_token
    return Batch(source, net_input, limits, first)


class SpecGenerator:
    """Decodes fairseq samples, greedily with drafts or by beam search, in place of fairseq's ``SequenceGenerator``.

    Args:
        models: the verifier; several make an ensemble that averages probabilities.
        dictionary: the target dictionary.
        drafter: proposes tokens.
        options: generation options.
        stats: adds up what happens; its config also says beta, tau and whether to certify.
        adaptive: let the number of draft tokens follow what pays on this machine, up to the drafter's block size.
        upcoming: knows the samples that come next, so that rounds on a GPU may work on them, too; None: nobody does.
        conventions: the task's.

    Attributes:
        lends: let the engine have the weights of layers in place of the modules (`engine.lent`), where it lays them
            out anew and nothing needs both; set it to False before the first batch where models are trained.

    Raises:
        UnsupportedModelError: the engine cannot run one of the models.
    """

    lends = True

    def __init__(
        self,
        models: list[nn.Module],
        dictionary: Any,
        drafter: Drafter,
        options: GenerationOptions,
        stats: SpecStats,
        adaptive: bool = False,
        upcoming: Upcoming | None = None,
        conventions: Conventions = Conventions(),  # noqa: B008 (it is frozen)
    ) -> None:
        for model in models:
            model.eval()  # returns None once fairseq has prepared a model for inference
        self.models = models
        self.dictionary = dictionary
        self.eos = dictionary.eos() if conventions.eos is None else conventions.eos
        self.symbols_to_strip_from_output = {self.eos, *conventions.strip}
        self.drafter = drafter
        self.options = options
        self.stats = stats
        self.adaptive = adaptive
        self._upcoming = upcoming
        self.certificate = Certificate() if stats.config.certify else None
        self._decoder: SpecDecoder | AheadDecoder | BeamDecoder | RecordedBeamDecoder | None = None
        self._weights_at = 0  # where the first model's weights were when the decoder read them
        for model in self.models:
            check_supported(model)  # refuse before any data is read

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
        bos_token: int | Tensor | None = None,
    ) -> Hypotheses:
        """Decode one sample.

        Args:
            models: ignored, as by fairseq's own generator; the models given at construction are used.
            sample: a fairseq batch; ``net_input`` holds src_tokens [B, S] and src_lengths [B], and ``id`` [B], if it is
                there, each sentence's place in the data.
            prefix_tokens: [B, P] int64, forced first tokens, pad where a row has fewer.
            constraints: must be None.
            bos_token: the token to start from instead of eos, or one for each sentence, [B] int64.

        Returns:
            for each sentence its hypotheses, best first (one without beams), each a dict of tokens [n] int64 (ending in
            eos), score [], positional_scores [n] float32, attention [S, n] and alignment (both empty without
            --print-alignment).

        Raises:
            ValueError: the verifier gives no finite score.
        """
        assert constraints is None, "lexical constraints are refused when the generator is built"
        self.stats.is_partial = True  # until the batch is counted
        run = self.stats.time("total", self._generate)
        hypotheses = run(sample, prefix_tokens, bos_token)
        self.stats.is_partial = False
        return hypotheses

    def _generate(
        self, sample: dict[str, Any], prefix_tokens: Tensor | None, bos_token: int | Tensor | None
    ) -> Hypotheses:
        batch = batch_of(self.options, self.dictionary, self.models, sample, prefix_tokens, bos_token, self.eos)
        found = self._decode(batch)
        sentences = rank_hypotheses(found, self.options, (batch.source.lengths - EOS_NOT_MATCHED).tolist())
        if self.options.print_alignment:
            align(self.models, self.dictionary, batch.net_input, sentences, self.options.print_alignment)
        return sentences

    def _decode(self, batch: Batch) -> NBest:
        """Return what the search finds; where memory runs out halve the batch, with a warning.

        The halves keep the padding and the limits of the whole batch, so their output is the same.
        """
        try:
            return self._search(batch)
        except (RuntimeError, MemoryError) as error:
            if batch.n_rows == 1 or not is_out_of_memory(error):
                raise
        if batch.first.is_cuda:
            torch.cuda.empty_cache()
        logger.warning("out of memory with %d sentences: decoding them in halves; lower --max-tokens", batch.n_rows)
        rows = torch.arange(batch.n_rows, device=batch.first.device)
        halves = [self._decode(batch.select_rows(half)) for half in rows.chunk(2)]
        return NBest(*(torch.cat(parts) for parts in zip(*halves, strict=True)))

    def _search(self, batch: Batch) -> NBest:
        """Decode a batch; count and certify it."""
        decoder, certificate = self._ready_decoder(), self.certificate
        if isinstance(decoder, (BeamDecoder, RecordedBeamDecoder)):
            trace: list[Step] | None = None if certificate is None else []
            found, tally = decoder.decode(batch, trace)
            if certificate is not None:
                certificate.add(certify_beams(self.models, batch, trace, found, self.options))
        else:
            tokens, scores, lengths, tally = decoder.decode(batch)
            found = NBest.of_rows(tokens, scores, lengths)
            if certificate is not None:
                encoded = [model.encoder.forward_torchscript(batch.net_input) for model in self.models]  # stock modules
                limits, temperature = batch.limits, self.options.temperature
                certificate.add(certify(self.models, encoded, tokens, lengths, limits, temperature))
        self.stats.add(tally, batch.n_rows)
        self.stats.certificate = certificate and certificate.as_dict()
        return found

    def _ready_decoder(self) -> SpecDecoder | AheadDecoder | BeamDecoder | RecordedBeamDecoder:
        """Return the decoder over the models' weights as they are now."""
        like = self.models[0].decoder.embed_tokens.weight
        if self._decoder is None or self._weights_at != like.data_ptr():
            self._weights_at = like.data_ptr()
            reduced = self.stats.config.engine_dtype
            if reduced and (like.device.type, like.dtype) != ("cpu", torch.float32):
                raise OptionError([
                    f"--engine-dtype {reduced} needs a float32 model on a CPU, got {like.dtype} on {like.device.type}: "
                    "leave it out, on a GPU pass --fp16 instead (fairseq-generate reads --bf16 and does nothing)."
                ])  # fmt: skip
            self.stats.device, self.stats.dtype = like.device.type, reduced or str(like.dtype).removeprefix("torch.")
            self.drafter.to(like.device, like.dtype)  # before: it may read the weights, too
            lends = self.lends and self.certificate is None and not self.options.print_alignment
            each = [(model, Lending(model) if lends else None) for model in self.models]
            weights = [read_verifier(model.decoder, reduced, lent) for model, lent in each]
            encoders = [FastEncoder(model.encoder, reduced, lent) for model, lent in each]
            timed = self.stats.timed
            sections = {"start": "encode", "score": "verify", "take_steps": "verify", "commit": "verify"}
            verifier = timed(Verifier(encoders, weights, self.options.temperature), **sections)
            if self.options.beam > 1:
                self._decoder = self._beam_decoder(verifier, like)
                return self._decoder
            self._decoder = SpecDecoder(
                verifier,
                timed(self.drafter, start="encode", propose="draft", advance="draft"),
                accept_rule(self.stats.config.beta, self.stats.config.tau),
                self.adaptive,
            )
            if self._records(like):
                self._decoder = self._ahead(RecordedDecoder(self._decoder, CudaRecorder(like.device)))
        return self._decoder

    def _beam_decoder(self, verifier: Verifier, like: Tensor) -> BeamDecoder | RecordedBeamDecoder:
        decoder = BeamDecoder(verifier, self.options.beam)
        if self.drafter.has_guide:
            decoder = MirrorDecoder(verifier, self.options.beam, self.drafter, self.adaptive)
        return RecordedBeamDecoder(decoder.batches, CudaRecorder(like.device)) if self._records(like) else decoder

    def _records(self, like: Tensor) -> bool:
        """Say whether rounds are recorded; timers of the statistics look between the parts of a round."""
        return like.is_cuda and self.stats.config.cuda_graphs and not self.stats.config.spec_stats

    def _ahead(self, decoder: RecordedDecoder) -> AheadDecoder:
        """Let a decoder begin what comes next, unless outputs depend on which drafts were made first."""
        is_exact = self.stats.config.beta == 1 or not self.drafter.learns
        device = self.models[0].decoder.embed_tokens.weight.device
        # without self, whose life has to end in time
        asks = partial(batch_of, self.options, self.dictionary, self.models, eos=self.eos)

        def pulled(sample: dict[str, Any]) -> Batch:
            wanted = {name: sample[name] for name in ("net_input", "id") if name in sample}
            return asks(utils.apply_to_sample(lambda tensor: tensor.to(device), wanted))

        return AheadDecoder(decoder, self._upcoming if is_exact else None, pulled)
