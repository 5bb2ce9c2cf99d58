"""Text in, numbers out: metrics, and the text that fairseq-generate leaves in its log."""
