"""The engine `vllm`: organisms on a vLLM server, as LoRA adapters of one base, asked over HTTP."""
