"""Models registered with fairseq, and what reads their checkpoints."""
