"""Options of the server, by environment and by argument."""

import os

import pytest

from audit_env.errors import ParameterError
from audit_env.runtime.vllm.options import Options


@pytest.fixture(autouse=True)
def _nothing_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has a vLLM has said so in these variables."""
    for name in [name for name in os.environ if name.startswith("AUDIT_ENV_VLLM_")]:
        monkeypatch.delenv(name)


def test_arguments_win_over_the_environment_and_are_read_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUDIT_ENV_VLLM_DTYPE", "float16")
    monkeypatch.setenv("AUDIT_ENV_VLLM_TENSOR_PARALLEL", "2")
    monkeypatch.setenv("AUDIT_ENV_VLLM_ARGUMENTS", "--max-num-seqs 8")
    assert Options.read({}) == Options(dtype="float16", tensor_parallel=2, arguments="--max-num-seqs 8")
    assert Options.read({"dtype": "float32", "tensor_parallel": 4, "max_model_len": "99"}) == Options(
        dtype="float32", tensor_parallel=4, arguments="--max-num-seqs 8", max_model_len=99
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tensor_paralel": 2}, "tensor_paralel=...: the options of the engine 'vllm' are url, api_key"),
        ({"tensor_parallel": "two"}, "AUDIT_ENV_VLLM_TENSOR_PARALLEL is 'two': set it to a whole number"),
        ({"timeout": 0}, "AUDIT_ENV_VLLM_TIMEOUT is 0: set it to 1 or more"),
        ({"arguments": "--x '"}, "AUDIT_ENV_VLLM_ARGUMENTS cannot be read"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_by_name(given: dict[str, object], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        Options.read(given)
