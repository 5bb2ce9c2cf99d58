"""Siblings of fairseq's tasks for models of several languages."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Optional

from fairseq.models import ARCH_MODEL_REGISTRY
from fairseq.models.multilingual_transformer import MultilingualTransformerModel
from fairseq.tasks import register_task
from fairseq.tasks.multilingual_translation import MultilingualTranslationTask
from fairseq.tasks.translation_from_pretrained_bart import TranslationFromPretrainedBARTTask
from fairseq.tasks.translation_multi_simple_epoch import TranslationMultiSimpleEpochTask
from torch import Tensor, nn

from fairseq_specdec.config import OptionError
from fairseq_specdec.options import Conventions
from fairseq_specdec.tasks.speculative import Direction, SpeculativeTask, Start

DATA_SOURCES = ("<MINED_DATA>", "<MMT_BT_DATA>", "<SMT_BT_DATA>")  # in the order of NLLB's dictionary


@register_task("translation_multi_specdec")
class TranslationMultiSpecDecTask(SpeculativeTask, TranslationMultiSimpleEpochTask):
    """One model for many languages, each named by a token: M2M-100, NLLB, WMT21, mBART50."""

    @classmethod
    def add_args(cls, parser: Any) -> None:
        """Add also what only the branch of NLLB has and its checkpoints need."""
        super().add_args(parser)
        if not any(action.dest == "add_data_source_prefix_tags" for action in parser._actions):
            parser.add_argument(
                "--add-data-source-prefix-tags",
                action="store_true",
                help=f"the dictionary ends in {', '.join(DATA_SOURCES)}, as that of NLLB-200 does",
            )

    @classmethod
    def setup_task(cls, cfg: Any, **kwargs: Any) -> "TranslationMultiSpecDecTask":
        """Make the task; the dictionary gets the tags for sources of data, if that is asked for and they are not there.

        Raises:
            OptionError, ValueError: options cannot be honoured.
        """
        task = super().setup_task(cfg, **kwargs)
        if cfg.add_data_source_prefix_tags:
            for dictionary in task.dicts.values():
                for tag in DATA_SOURCES:
                    dictionary.add_symbol(tag)
        return task

    def conventions(self) -> Conventions:
        """Return which tokens are no text: that of the target language, where it is forced."""
        language = self._language_token()
        strip = frozenset() if language is None else frozenset({language})
        return Conventions(strip=strip, prefix=None if self.args.lang_tok_replacing_bos_eos else language)

    def begin(self, sources: list[Tensor], direction: Direction) -> tuple[list[Tensor], Start]:
        """Put sources into the model's terms, for any direction between the languages of the task."""
        with self._translating(direction):
            data = self.build_dataset_for_inference(sources, [len(source) for source in sources])
            alone = list(self.alone(data))
            language = self._language_token()
        if self.args.lang_tok_replacing_bos_eos:
            return alone, Start(first=language)
        return alone, Start(prefix=language)

    @contextmanager
    def _translating(self, direction: Direction) -> Iterator[None]:
        """Have fairseq's task translate in a direction for this long."""
        args, unknown = self.args, sorted({language for language in direction} - set(self.langs))
        if unknown:
            raise OptionError([
                f"{option} must be one of {', '.join(self.langs)}, got {language}: choose one."
                for option, language in direction._asdict().items() if language in unknown
            ])  # fmt: skip
        for language in direction:  # all have one dictionary; fairseq reads it for the languages of a run only
            self.dicts.setdefault(language, self.source_dictionary)
        was = Direction(args.source_lang, args.target_lang)
        try:
            args.source_lang, args.target_lang = direction
            yield
        finally:
            args.source_lang, args.target_lang = was

    def _language_token(self) -> Optional[int]:
        """Return the id that names the target language, None where the options ask for none."""
        return self.data_manager.get_decoder_langtok(self.args.target_lang, self.args.langtoks["main"][1])


@register_task("multilingual_translation_specdec")
class MultilingualTranslationSpecDecTask(SpeculativeTask, MultilingualTranslationTask):
    """A model for each pair of languages, which may share their parts."""

    def why_not_architecture(self, arch: Optional[str]) -> list[str]:
        """List what keeps the engine from running models of an architecture; here a model holds one for each pair."""
        model = ARCH_MODEL_REGISTRY.get(arch)
        return [] if model is MultilingualTransformerModel else super().why_not_architecture(arch)

    def verifiers(self, models: list[nn.Module]) -> list[nn.Module]:
        """Return what decodes this pair of languages."""
        return [model.models[self.lang_pairs[0]] for model in models]

    def alone(self, data: Any) -> Iterator[Tensor]:
        """Yield each sentence of a data set that holds one for each pair of languages."""
        return super().alone(data.datasets[self.lang_pairs[0]])


@register_task("translation_from_pretrained_bart_specdec")
class TranslationFromPretrainedBartSpecDecTask(SpeculativeTask, TranslationFromPretrainedBARTTask):
    """mBART, fine-tuned for a pair of languages: the token of the target language ends an output, and begins it."""

    def conventions(self) -> Conventions:
        """Return what ends an output."""
        return Conventions(eos=self.tgt_dict.index(f"[{self.asked.target_lang}]"))

    def why_stock(self, args: Any, **asked: bool) -> list[str]:
        """List also what fairseq's task leaves out or does in its own way."""
        reasons = super().why_stock(args, **asked)
        for option in ("match_source_len", "print_alignment"):
            if getattr(args, option, None):
                name = option.replace("_", "-")
                reasons.append(
                    f"--{name}, which fairseq's task for mBART handles otherwise, got {getattr(args, option)}"
                )
        return reasons
