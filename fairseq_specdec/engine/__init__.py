"""The decoding engine: runs fairseq Transformer decoders by their weights, many positions at a time."""
