"""Masking and initialisation for training drafters: functions on tensors, without fairseq."""
