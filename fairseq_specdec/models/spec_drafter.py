"""The Spec-Drafter: a Transformer that predicts a whole block of masked target tokens in one pass."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

import torch
from fairseq.data import Dictionary
from fairseq.models import FairseqEncoderDecoderModel, register_model, register_model_architecture
from fairseq.models.transformer import (
    TransformerConfig,
    TransformerDecoderBase,
    TransformerEncoderBase,
    TransformerModelBase,
)
from fairseq.modules.transformer_sentence_encoder import init_bert_params
from fairseq.tasks import FairseqTask
from torch import Tensor, nn

from fairseq_specdec.models.drafter_config import (
    ARCHITECTURES,
    SpecDrafterConfig,
    add_switches,
    apply_architecture,
    complete_options,
    transformer_config,
)
from fairseq_specdec.models.shared_encoder import SharedEncoder
from fairseq_specdec.training.masking import Glance, reveal


class SpecDrafterEncoder(TransformerEncoderBase):
    """Transformer encoder whose output also holds the position embeddings of the source."""

    def forward(
        self,
        src_tokens: Tensor,
        src_lengths: Tensor | None = None,
        return_all_hiddens: bool = False,
        token_embeddings: Tensor | None = None,
    ) -> dict[str, list[Tensor]]:
        """Encode src_tokens [B, S] int64.

        Returns:
            fairseq's dict: ``encoder_out`` [S, B, C], ``encoder_padding_mask`` [B, S] bool, ``encoder_embedding``
            [B, S, C] (token embeddings) and so on, and ``encoder_pos`` [B, S, C], each in a list.
        """
        output = super().forward(src_tokens, src_lengths, return_all_hiddens, token_embeddings)
        output["encoder_pos"] = [self.embed_positions(src_tokens)]
        return output

    def reorder_encoder_out(self, encoder_out: dict[str, list[Tensor]], new_order: Tensor) -> dict[str, list[Tensor]]:
        """Select the rows new_order [B'] int64 of every tensor."""
        output = super().reorder_encoder_out(encoder_out, new_order)
        output["encoder_pos"] = [positions.index_select(0, new_order) for positions in encoder_out["encoder_pos"]]
        return output


class SpecDrafterDecoder(TransformerDecoderBase):
    """Bidirectional Transformer decoder over a prefix and a block of masks."""

    def __init__(self, cfg: TransformerConfig, dictionary: Dictionary, embed_tokens: nn.Embedding) -> None:
        """Build fairseq's decoder and the query projection of the source copy."""
        super().__init__(cfg, dictionary, embed_tokens)
        self.mask_idx = dictionary.unk()
        self.causal_prefix = bool(cfg.causal_prefix)
        self.copy_attn = nn.Linear(self.embed_dim, self.embed_dim, bias=False) if cfg.src_embedding_copy else None
        for layer in self.layers:
            layer.need_attn = False  # nobody reads attention weights, and without them the fused kernels run

    def forward(
        self,
        prev_output_tokens: Tensor,
        encoder_out: dict[str, list[Tensor]],
        block_mask: Tensor | None = None,
        features_only: bool = False,
        prefix_lengths: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Any]]:
        """Predict target tokens.

        Args:
            prev_output_tokens: [B, T] int64: prefix without a leading eos, masks, padding on the right.
            encoder_out: of the encoder.
            block_mask: [B, T] bool with K true columns in each row: only these are projected.
            features_only: skip the projection to the vocabulary.
            prefix_lengths: [B] int64, tokens before the block, for --causal-prefix; block_mask says it as well.

        Returns:
            Logits [B, T, V], or [B, K, V] with block_mask; features [B, .., C] with features_only. And an empty dict.
        """
        if prefix_lengths is None and block_mask is not None:
            prefix_lengths = block_mask.int().argmax(dim=1)
        x, extra = self.extract_features(prev_output_tokens, encoder_out, prefix_lengths)
        if block_mask is not None:
            x = x[block_mask].view(x.size(0), -1, x.size(-1))  # host sync: K is counted from the mask
        return (x if features_only else self.output_layer(x)), extra

    def extract_features(
        self,
        prev_output_tokens: Tensor,
        encoder_out: dict[str, list[Tensor]],
        prefix_lengths: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Any]]:
        """Return the last layer's output [B, T, C] for prev_output_tokens [B, T] int64, and an empty dict."""
        hidden = self._hidden_from_prefix(prefix_lengths, prev_output_tokens.size(1)) if self.causal_prefix else None
        positions = self.embed_positions(prev_output_tokens)  # [B, T, C]
        x = self._embed(prev_output_tokens, positions, encoder_out)
        padding = prev_output_tokens.eq(self.padding_idx)
        x, positions = x.transpose(0, 1), positions.transpose(0, 1)  # [T, B, C]
        for index, layer in enumerate(self.layers):
            x, _, _ = layer(
                x + positions if index else x,  # the first layer's input has them already
                encoder_out["encoder_out"][0],
                encoder_out["encoder_padding_mask"][0],
                self_attn_mask=hidden,
                self_attn_padding_mask=padding,
            )
        if self.layer_norm is not None:
            x = self.layer_norm(x)
        return x.transpose(0, 1), {}

    def _hidden_from_prefix(self, prefix_lengths: Tensor, width: int) -> Tensor:
        """Return [B * H, T, T] bool, True where a prefix token would look at what comes behind it."""
        place = torch.arange(width, device=prefix_lengths.device)
        hidden = (place > place[:, None]) & (place[:, None] < prefix_lengths[:, None, None])  # [B, T, T]
        return hidden.repeat_interleave(self.layers[0].self_attn.num_heads, dim=0)

    def _embed(self, tokens: Tensor, positions: Tensor, encoder_out: dict[str, list[Tensor]]) -> Tensor:
        x = self.embed_scale * self.embed_tokens(tokens)
        if self.copy_attn is not None:
            x = torch.where(tokens.eq(self.mask_idx)[..., None], self.copy_source(positions, encoder_out), x)
        x = x + positions
        if self.layernorm_embedding is not None:
            x = self.layernorm_embedding(x)
        x = self.dropout_module(x)
        return x if self.quant_noise is None else self.quant_noise(x)

    def copy_source(self, positions: Tensor, encoder_out: dict[str, list[Tensor]]) -> Tensor:
        """Mix the source token embeddings for each target position: what a mask's embedding is replaced with.

        Args:
            positions: [B, T, C], target position embeddings.
            encoder_out: of the encoder.

        Returns:
            [B, T, C]; queries come from the positions alone, so equal positions copy the same from one source.
        """
        embedding = encoder_out["encoder_embedding"][0]  # [B, S, C]
        keys = embedding + encoder_out["encoder_pos"][0]
        scores = self.copy_attn(positions) @ keys.transpose(1, 2)  # [B, T, S]
        scores = scores.masked_fill(encoder_out["encoder_padding_mask"][0][:, None], -torch.inf)
        return scores.softmax(dim=-1, dtype=torch.float32).to(embedding) @ embedding


@register_model("spec_drafter", dataclass=SpecDrafterConfig)
class SpecDrafterModel(FairseqEncoderDecoderModel):
    """Drafter of Xia et al. (2023): Transformer encoder, bidirectional decoder, source copy at the masks."""

    @classmethod
    def add_args(cls, parser: ArgumentParser) -> None:
        """Add the model's options to an argparse parser."""
        add_switches(parser)
        super().add_args(parser)

    @classmethod
    def build_model(cls, cfg: Any, task: FairseqTask) -> SpecDrafterModel:
        """Build a model for the task's dictionaries.

        Args:
            cfg: options as attributes: Namespace, DictConfig or SpecDrafterConfig.
            task: gives source_dictionary and target_dictionary.

        Raises:
            ValueError: options contradict each other or the dictionaries.
        """
        options = complete_options(cfg)
        sources, targets = task.source_dictionary, task.target_dictionary
        if options.share_encoder:
            return cls._build_sharing(options, sources, targets)
        joined = sources == targets and options.encoder_embed_dim == options.decoder_embed_dim
        if options.share_all_embeddings is None:
            options.share_all_embeddings = joined and options.share_decoder_input_output_embed
        if options.share_all_embeddings and not joined:
            raise ValueError(
                "--share-all-embeddings needs one joined dictionary and equal widths, got "
                f"{len(sources)} source and {len(targets)} target types, widths {options.encoder_embed_dim} and "
                f"{options.decoder_embed_dim}: preprocess with --joined-dictionary or pass --no-share-all-embeddings."
            )
        options.share_decoder_input_output_embed |= options.share_all_embeddings
        config = transformer_config(options)
        build = TransformerModelBase.build_embedding
        source_table = build(config, sources, options.encoder_embed_dim, options.encoder_embed_path)
        target_table = source_table
        if not options.share_all_embeddings:
            target_table = build(config, targets, options.decoder_embed_dim, options.decoder_embed_path)
        encoder = SpecDrafterEncoder(config, sources, source_table)
        return cls(encoder, SpecDrafterDecoder(config, targets, target_table))._initialised(options)

    @classmethod
    def _build_sharing(cls, options: Namespace, sources: Dictionary, targets: Dictionary) -> SpecDrafterModel:
        """Build a model that waits for the verifier's encoder; of three tables that may be one it has two."""
        options.share_decoder_input_output_embed |= bool(options.share_all_embeddings)
        config = transformer_config(options)
        width, path = options.decoder_embed_dim, options.decoder_embed_path
        table = TransformerModelBase.build_embedding(config, targets, width, path)
        encoder = SharedEncoder(sources, options.encoder_embed_dim, options.max_source_positions)
        return cls(encoder, SpecDrafterDecoder(config, targets, table))._initialised(options)

    def _initialised(self, options: Namespace) -> SpecDrafterModel:
        if options.apply_bert_init:
            self.apply(init_bert_params)
        return self

    @property
    def shares_encoder(self) -> bool:
        """Whether the encoder is the verifier's."""
        return isinstance(self.encoder, SharedEncoder)

    def forward(
        self,
        src_tokens: Tensor,
        src_lengths: Tensor,
        prev_output_tokens: Tensor,
        block_mask: Tensor | None = None,
        loss_mask: Tensor | None = None,
        glance: Glance | None = None,
        prefix_lengths: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Any]]:
        """Encode and predict; in training also glance, so that both decoder passes lie inside one forward call.

        Args:
            src_tokens: [B, S] int64, padded on either side.
            src_lengths: [B] int64.
            prev_output_tokens: [B, T] int64, see the decoder.
            block_mask: [B, T] bool, K columns in each row.
            loss_mask: [B, T] bool: project these N positions only.
            glance: with loss_mask, predict once without gradient and reveal some tokens first.
            prefix_lengths: [B] int64, see the decoder.

        Returns:
            Logits [B, T, V], [B, K, V] with block_mask or [N, V] with loss_mask; and a dict, with loss_mask holding
            ``loss_mask`` (after glancing) and with glance also ``correct`` [B, T] bool of the first pass.
        """
        encoder_out = self.encoder(src_tokens, src_lengths=src_lengths)
        if loss_mask is None:
            return self.decoder(prev_output_tokens, encoder_out, block_mask, prefix_lengths=prefix_lengths)
        extra: dict[str, Any] = {}
        if glance is not None:
            extra["correct"] = self._first_pass(prev_output_tokens, encoder_out, loss_mask, glance, prefix_lengths)
            prev_output_tokens, loss_mask = reveal(prev_output_tokens, loss_mask, extra["correct"], glance)
        features, _ = self.decoder.extract_features(prev_output_tokens, encoder_out, prefix_lengths)
        extra["loss_mask"] = loss_mask
        return self.decoder.output_layer(features[loss_mask]), extra

    @torch.no_grad()
    def _first_pass(
        self,
        tokens: Tensor,
        encoder_out: dict[str, list[Tensor]],
        masked: Tensor,
        glance: Glance,
        prefix_lengths: Tensor | None,
    ) -> Tensor:
        # Leaving the fork puts the generators back, so the second pass drops the same units. The encoder would give
        # the same output twice for that reason, hence its single pass.
        devices = [tokens.device] if tokens.is_cuda else []
        with torch.random.fork_rng(devices=devices):
            features, _ = self.decoder.extract_features(tokens, encoder_out, prefix_lengths)
        guess = self.decoder.output_layer(features[masked]).argmax(dim=-1)
        return torch.zeros_like(masked).masked_scatter(masked, guess.eq(glance.target[masked]))


for _name in ARCHITECTURES:
    register_model_architecture("spec_drafter", _name)(lambda args, name=_name: apply_architecture(args, name))
