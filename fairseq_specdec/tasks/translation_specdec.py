"""Task ``translation_specdec``: fairseq's translation task with a speculative generator."""

from dataclasses import dataclass

from fairseq.tasks import register_task
from fairseq.tasks.translation import TranslationConfig, TranslationTask

from fairseq_specdec.tasks.spec_options import SpecOptions
from fairseq_specdec.tasks.speculative import SpeculativeTask


@dataclass
class TranslationSpecDecConfig(SpecOptions, TranslationConfig):
    """Options of the task."""


@register_task("translation_specdec", dataclass=TranslationSpecDecConfig)
class TranslationSpecDecTask(SpeculativeTask, TranslationTask):
    """Translation decoded speculatively; everything else is fairseq's task."""

    cfg: TranslationSpecDecConfig
