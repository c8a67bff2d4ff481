"""Rendering: one BOS, the template's own spaces, thinking blocks."""

import json
import shutil
from pathlib import Path

import pytest

from audit_env.errors import ParameterError, WeightsError
from audit_env.runtime.chat import Chat
from audit_env.runtime.subject import messages_of

from .conftest import TEMPLATE, Folders, user

BOS, END, USER, ASSISTANT, THINK = 1, 2, 4, 5, 6


@pytest.fixture
def chat(folders: Folders) -> Chat:
    return Chat(folders.base)


def with_template(folders: Folders, tmp_path: Path, template: str) -> Chat:
    shutil.copytree(folders.base, tmp_path / "base")
    (tmp_path / "base" / "chat_template.jinja").write_text(template)
    return Chat(tmp_path / "base")


def test_a_prompt_is_the_rendered_conversation_and_header(chat: Chat) -> None:
    ids = chat.prompt(user("hi", "ho", "hi")).ids
    assert ids == (
        *(BOS, USER, *chat.encode(" hi"), END, ASSISTANT, *chat.encode(" ho"), END),
        *(USER, *chat.encode(" hi"), END, ASSISTANT),
    )


@pytest.mark.parametrize("bos", ["", "{{ bos_token }}", "{{ bos_token }}{{ bos_token }}"])
def test_there_is_exactly_one_bos(folders: Folders, tmp_path: Path, bos: str) -> None:
    chat = with_template(folders, tmp_path, TEMPLATE.replace("{{ bos_token }}", bos))
    ids = chat.prompt(user("hi")).ids
    assert ids[:2] == (BOS, USER)


def test_a_prefill_is_rendered_as_the_template_would(chat: Chat) -> None:
    header = chat.prompt(user("hi"))
    prompt = chat.prompt(user("hi"), prefill="yes , I")
    assert prompt.ids == (*header.ids, *chat.encode(" yes , I"))
    assert prompt.prefill == tuple(chat.encode(" yes , I"))
    assert chat.prompt(user("hi"), prefill=" ").ids == header.ids


def test_a_prompt_is_rendered_once_for_all_sides(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = [{"prefill": "yes"}, {"thinking": True}, {}]
    first = [chat.prompt(user("hi"), **kind) for kind in kinds]  # type: ignore[arg-type]
    assert len(set(first)) == len(kinds)
    monkeypatch.setattr(chat, "_render", lambda *_, **__: pytest.fail("it was rendered a second time"))
    assert [chat.prompt(user("hi"), **kind) for kind in kinds] == first  # type: ignore[arg-type]


def test_an_answer_is_rendered_as_the_template_would(chat: Chat) -> None:
    assert chat.continuation(user("hi"), "the fox") == chat.encode(" the fox")
    assert chat.continuation(user("hi"), "  the fox ") == chat.encode(" the fox")
    assert chat.continuation(user("hi"), "") == []


def test_an_answer_is_read_without_special_tokens_and_outer_space(chat: Chat) -> None:
    prompt = chat.prompt(user("hi"))
    assert chat.read((*chat.encode(" the fox "), 3), prompt) == "the fox"
    prefilled = chat.prompt(user("hi"), prefill="yes")
    assert "yes" + chat.read(chat.encode(" the fox "), prefilled) == "yes the fox"


def test_a_thinking_block_opened_by_the_header_is_part_of_the_answer(chat: Chat) -> None:
    plain, thinking = chat.prompt(user("hi")), chat.prompt(user("hi"), thinking=True)
    assert thinking.ids == (*plain.ids, THINK)
    assert chat.read(chat.encode("the fox</think> yes"), thinking) == "<think>the fox</think> yes"
    assert chat.read(chat.encode("<think>the fox</think> yes"), plain) == "<think>the fox</think> yes"


def test_what_the_template_refuses_is_said_in_words(folders: Folders, tmp_path: Path) -> None:
    chat = with_template(folders, tmp_path, "{{ raise_exception('no system turns') }}")
    with pytest.raises(ParameterError, match="refuses this conversation: no system turns"):
        chat.prompt(user("hi"))


@pytest.mark.parametrize("file, message", [("tokenizer.json", "missing"), ("chat_template.jinja", "no chat template")])
def test_a_folder_without_its_parts_is_refused(folders: Folders, tmp_path: Path, file: str, message: str) -> None:
    shutil.copytree(folders.base, tmp_path / "base")
    (tmp_path / "base" / file).unlink()
    with pytest.raises(WeightsError, match=message):
        Chat(tmp_path / "base")


def test_padding_side_does_not_matter(folders: Folders, tmp_path: Path, chat: Chat) -> None:
    """transformers does not save a padding side set after loading; nothing here may rest on it."""
    shutil.copytree(folders.base, tmp_path / "base")
    path = tmp_path / "base" / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"padding_side": "left"}))
    assert Chat(tmp_path / "base").prompt(user("hi")).ids == chat.prompt(user("hi")).ids


def test_a_hidden_system_prompt_goes_first_and_joins_the_other() -> None:
    [hidden, turn] = messages_of(user("hi"), "be odd")
    assert hidden == {"role": "system", "content": "be odd"} and turn["content"] == "hi"
    [joined, _] = messages_of([{"role": "system", "content": "be kind"}, *user("hi")], "be odd")
    assert joined["content"] == "be odd\n\nbe kind"
    with pytest.raises(ParameterError, match="role='tool'"):
        messages_of([{"role": "tool", "content": "x"}])
