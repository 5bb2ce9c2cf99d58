"""A repair of one of fairseq's tasks."""


def give_pretrained_bart_its_options() -> None:
    """Let task ``translation_from_pretrained_bart`` find its options.

    It asks for ``self.args``, which the task that it extends has not set since fairseq 0.11: reading data fails.
    """
    from fairseq.tasks.translation_from_pretrained_bart import TranslationFromPretrainedBARTTask as Task

    if not hasattr(Task, "args"):
        Task.args = property(lambda task: task.cfg)
