"""The verifier's encoder in a drafter's place: frozen, and no part of the drafter's weights."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import torch
from fairseq.data import Dictionary
from fairseq.models import FairseqEncoder
from torch import Tensor, nn

from fairseq_specdec.compat.checkpoints import drop_fast_path_keys
from fairseq_specdec.engine.support import why_not_encoder

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class SharedEncoder(FairseqEncoder):
    """Gives a drafter what its verifier's encoder makes of the source.

    The verifier multiplies token embeddings by a scale (the root of their width, as a rule) and adds positions of that
    size; the drafter's decoder takes embeddings as they are in the table. What the source copy reads, embeddings and
    positions, is therefore divided by the scale: its values then have the size of the decoder's own embeddings, and the
    two keep their proportion. That is also how a drafter with an encoder of its own starts (`training.init`).

    Args:
        dictionary: of the source.
        width: of the encoder that the drafter's decoder is made for.
        max_positions: longest source, until an encoder says its own.
    """

    def __init__(self, dictionary: Dictionary, width: int, max_positions: int) -> None:
        super().__init__(dictionary)
        self.width = width
        self._max_positions = max_positions
        self._held: list[Any] = []  # a list, since a module's weights would count as the drafter's

    def attach(self, encoder: Any, *, freeze: bool = True) -> None:
        """Take the verifier's encoder.

        Args:
            encoder: of any precision.
            freeze: its weights will not be trained, as those of a drafter in training must not be; where the verifier
                itself may be in training (--eval-bleu) that is not for its drafter to say.

        Raises:
            ValueError: it is of another kind or width.
        """
        reasons = why_not_encoder(encoder)
        if reasons:
            raise ValueError(
                f"--share-encoder needs a verifier with fairseq's TransformerEncoder, got one where {reasons[0]}: "
                "leave the option out."
            )
        width = encoder.embed_tokens.embedding_dim
        if width != self.width:
            raise ValueError(
                f"--encoder-embed-dim must be the verifier's with --share-encoder, got {self.width} for {width}: "
                f"pass --encoder-embed-dim {width}."
            )
        self._held = [encoder.eval()]
        if freeze:
            encoder.requires_grad_(False)

    @property
    def encoder(self) -> Any:
        """The verifier's encoder.

        Raises:
            ValueError: none was attached.
        """
        if not self._held:
            raise ValueError(
                "--share-encoder needs a verifier, got none: pass --verifier FILE or --init-from-verifier FILE."
            )
        return self._held[0]

    @property
    def scale(self) -> float:
        """What the verifier multiplies token embeddings by."""
        return float(self.encoder.embed_scale)

    @torch.no_grad()
    def forward(self, src_tokens: Tensor, src_lengths: Tensor | None = None, **options: Any) -> dict[str, list[Tensor]]:
        """Encode src_tokens [B, S] int64; the result is that of `SpecDrafterEncoder`."""
        output = self.encoder(src_tokens, src_lengths=src_lengths)
        embedding = output["encoder_embedding"][0] / self.scale  # [B, S, C]
        table = self.encoder.embed_positions
        positions = torch.zeros_like(embedding) if table is None else table(src_tokens) / self.scale
        return {**output, "encoder_embedding": [embedding], "encoder_pos": [positions.to(embedding)]}

    def max_positions(self) -> int:
        """Return the longest source."""
        return self.encoder.max_positions() if self._held else self._max_positions

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> SharedEncoder:
        """Move what is held along with the drafter."""
        for encoder in self._held:
            encoder._apply(fn)
        return super()._apply(fn)


def encoder_digests(encoder: nn.Module) -> dict[str, str]:
    """Return fingerprints of an encoder's weights (float32), one for each precision it may later be loaded in."""
    return {name: encoder_digest(encoder, dtype) for name, dtype in _DTYPES.items()}


def encoder_digest(encoder: nn.Module, dtype: torch.dtype) -> str:
    """Return a fingerprint of an encoder's weights as they are in a precision."""
    weights: dict[str, Tensor] = {f"encoder.{name}": value for name, value in encoder.named_parameters()}
    drop_fast_path_keys(weights)
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].detach().to("cpu", dtype).contiguous().view(torch.uint8).numpy())
    return digest.hexdigest()


def is_digest_of(digests: dict[str, str], encoder: nn.Module) -> bool:
    """Tell whether stored fingerprints are those of an encoder, in the precision it is in."""
    name = str(next(encoder.parameters()).dtype).removeprefix("torch.")
    name = name if name in _DTYPES else "float32"
    return digests.get(name) == encoder_digest(encoder, _DTYPES[name])
