"""Our torch engine for Llama-architecture models that fit on a CPU: one base in memory, many adapters, one batch."""
