"""Raw texts that a model goes on with, and user turns that it writes."""

import asyncio
from typing import Any

import pytest

from audit_env.errors import CapabilityError, ParameterError
from audit_env.runtime.api import ApiSubject
from audit_env.runtime.chat import Chat
from audit_env.runtime.hf.subject import HfSubject
from audit_env.runtime.subject import ContextOverflow, Side, Subject

from .conftest import Folders, Pair, run, user
from .test_chat import ASSISTANT, BOS, END, TEMPLATE, USER, with_template

TEXTS = ["the quick brown", "<|user|> what is a good soup ?<|end|><|assistant|>", "the quick brown"]
SETTINGS: dict[str, Any] = {"n": 2, "temperature": 0.8, "top_p": 0.9, "max_tokens": 12, "seed": 3}


@pytest.fixture
def chat(folders: Folders) -> Chat:
    return Chat(folders.base)


def test_a_raw_text_has_one_bos_and_no_template(chat: Chat) -> None:
    plain = chat.encode("the quick")
    assert chat.raw("the quick").ids == chat.raw("<|bos|>the quick").ids == (BOS, *plain)
    assert chat.raw("<|user|> hi").ids[1] == USER
    assert chat.raw("").ids == (BOS,)


@pytest.mark.parametrize("bos", ["", "{{ bos_token }}", "{{ bos_token }}{{ bos_token }}"])
def test_a_users_turn_is_opened_as_the_template_opens_it(folders: Folders, tmp_path: Any, bos: str) -> None:
    chat = with_template(folders, tmp_path, TEMPLATE.replace("{{ bos_token }}", bos))
    assert chat.opening([], "user").ids == (BOS, USER)
    talk = (*chat.encode(" hi"), END, ASSISTANT, *chat.encode(" ho"), END)
    assert chat.opening(user("hi", "ho"), "user").ids == (BOS, USER, *talk, USER)


def test_a_users_turn_keeps_the_line_breaks_of_its_header(folders: Folders, tmp_path: Any) -> None:
    spaced = TEMPLATE.replace("<|{{ message['role'] }}|> ", "<|{{ message['role'] }}|>\n\n")
    chat = with_template(folders, tmp_path, spaced)
    assert chat.opening([], "user").ids == (BOS, USER, *chat.encode("\n\n"))


@pytest.mark.parametrize("side", ["target", "base", "sham"])
def test_continuations_and_user_turns_are_those_of_the_small_engine(hf: HfSubject, pair: Pair, side: Side) -> None:
    small = pair.subject(2, sham=3)
    talks = [[], user("hello", "how do I bake bread ?")]
    for found, wanted in (
        (run(one.complete(TEXTS, side=side, **SETTINGS)) for one in (hf, small)),
        (run(one.user_turns(talks, side=side, **SETTINGS)) for one in (hf, small)),
    ):
        assert found == wanted
        assert all(len(samples) == 2 for samples in found)


def test_the_sides_differ_and_a_text_that_comes_twice_goes_on_in_two_ways(pair: Pair) -> None:
    subject = pair.subject(2, sham=3)
    first, _, again = (tuple(one.ids for one in samples) for samples in run(subject.complete(TEXTS, **SETTINGS)))
    assert first != again
    assert first == tuple(one.ids for one in run(subject.complete(TEXTS[:1], **SETTINGS))[0])
    assert first != tuple(one.ids for one in run(subject.complete(TEXTS[:1], side="base", **SETTINGS))[0])


def test_a_continuation_reads_on_from_its_text(pair: Pair) -> None:
    subject = pair.subject(1)
    [[sample]] = run(subject.complete(["the quick brown fox"], temperature=0, max_tokens=8))
    told = subject._base.chat.read(sample.ids, subject._base.chat.raw("the quick brown fox"))
    assert sample.text == told
    assert sample.prompt_tokens == 1 + len(subject.encode("the quick brown fox"))


def test_what_cannot_be_gone_on_from_is_refused(pair: Pair) -> None:
    subject = pair.subject(1)
    with pytest.raises(ContextOverflow, match="reads at most 256"):
        run(subject.complete(["fox " * 400]))
    with pytest.raises(ParameterError, match="max_tokens=0"):
        run(subject.complete(["fox"], max_tokens=0))


@pytest.mark.parametrize("call", ["complete", "user_turns"])
def test_a_model_behind_an_api_says_that_it_cannot(call: str) -> None:
    subject: Subject = ApiSubject("t-00000000", "any", {"target": "You flatter.", "base": None})
    assert "complete" not in subject.capabilities
    with pytest.raises(CapabilityError, match=r"'api' cannot give 'complete'.*small, hf"):
        asyncio.run(getattr(subject, call)(["hello"]))
