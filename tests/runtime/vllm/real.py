"""A real vLLM, where there is one."""

import os

import pytest


def python_with_vllm() -> str:
    """The Python of an environment with vLLM; skips the test where none is named."""
    given = os.environ.get("AUDIT_ENV_VLLM_PYTHON")
    if given is None:
        pytest.skip("AUDIT_ENV_VLLM_PYTHON is not set; .ci/vllm_env makes an environment with vLLM")
    return given
