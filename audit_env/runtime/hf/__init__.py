"""Any causal language model that transformers computes by itself, one in memory, with many PEFT adapters."""
