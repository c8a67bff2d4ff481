"""The provider `human`: a person plays where a model would, at this terminal or at a face elsewhere.

Agent, tools, budget, brief, report and log are those of any auditor. Every turn is in the journal before it is played;
in a later sitting the turns of the earlier ones are played again, and then the person goes on.
"""

import os
import signal
from dataclasses import dataclass

import anyio
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.log import read_eval_log_sample_summaries_async
from inspect_ai.log._samples import sample_active
from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    GenerateConfig,
    ModelAPI,
    ModelOutput,
    ModelUsage,
)
from inspect_ai.model._model_info import MODEL_INFO_LOOKUP_API_KEY
from inspect_ai.tool import ToolCall, ToolChoice, ToolInfo
from inspect_ai.util import store_as
from typing_extensions import override

from audit_env.auditors.llm.notebook import Notebook
from audit_env.errors import ParameterError
from audit_env.game.parameters import whole_number
from audit_env.game.record import AuditRecord
from audit_env.sessions.clock import Clock
from audit_env.sessions.desk import WHO, Desk
from audit_env.sessions.errors import SessionError
from audit_env.sessions.faces import Elsewhere, Face, Prompt
from audit_env.sessions.hosting import ROOM_VARIABLE
from audit_env.sessions.journal import Journal, Seat, Turn, game_key
from audit_env.sessions.model import PROVIDER
from audit_env.sessions.terminal import on_a_terminal
from audit_env.sessions.turns import Left

CLOCK = "seconds"
"""In a message's metadata: the seconds played when the turn was made, over all sittings."""


class PersonAPI(ModelAPI):
    """The provider `human`. It takes the model arguments `minutes` and `afresh`."""

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008 (Inspect's own default)
        minutes: int | str | None = None,
        afresh: bool = False,
    ) -> None:
        """Sit a person down.

        Args:
            model_name: The name under which they play.
            base_url: Not used.
            api_key: Not used, but for what Inspect gives when it wants no more than a name.
            config: Not used.
            minutes: How long each game may be played, over all sittings; after that only the report is left.
            afresh: Whether games that were left are begun anew.

        Raises:
            PrerequisiteError: If there is no terminal and no room, or `minutes` is no number.
        """
        room = os.environ.get(ROOM_VARIABLE)
        if api_key != MODEL_INFO_LOOKUP_API_KEY and not room and not on_a_terminal():
            raise PrerequisiteError(
                f"The model {PROVIDER}/{model_name} is a person, and there is no terminal to ask them at: "
                "run this command in one, without redirecting its input."
            )
        try:
            limit = None if minutes is None else whole_number(minutes, "minutes", least=1)
        except ParameterError as error:
            raise PrerequisiteError(str(error)) from error
        super().__init__(model_name, base_url, api_key, [], config)
        self._limit = None if limit is None else 60.0 * limit
        self._afresh = afresh
        self._sittings: dict[str, Sitting] = {}
        self._room = room

    def take_leave(self, told: str) -> None:
        """Tell the person how the sample's game ended.

        Args:
            told: The answer to their report.
        """
        sample = sample_active()
        if sample is not None:
            self._sittings[sample.id].face.tell(told, over=True)

    @override
    async def generate(
        self, input: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig
    ) -> ModelOutput:
        """Ask the person for a turn, or play one of an earlier sitting again."""
        sitting = await self._sitting(input)
        desk = Desk(input, {tool.name: tool for tool in tools}, store_as(AuditRecord), store_as(Notebook))
        number, seen = sum(message.role == "assistant" for message in input), desk.seen()
        try:
            turn = sitting.journal.again(sitting.seat, number, seen) or await sitting.face.ask(
                sitting.seat, sitting.clock, number, seen, desk
            )
        except Left:
            await _leave_the_eval()
            raise SessionError("The game was left.") from None
        except SessionError as error:
            # Inspect would show it only in the log.
            sitting.face.tell(str(error))
            raise
        return self._output(turn, number, sitting)

    @override
    async def count_text_tokens(self, text: str) -> int:
        """None: a person reads no tokens, and forgets nothing that would have to be shortened for them."""
        return 0

    @override
    def max_connections(self) -> int:
        """One person, one turn at a time."""
        return 1

    async def _sitting(self, input: list[ChatMessage]) -> "Sitting":
        sample = sample_active()
        if sample is None:
            raise SessionError(f"{PROVIDER}/{self.model_name} can only be asked within an eval.")
        if sample.id not in self._sittings:
            journal = Journal.from_environment()
            face: Face = Elsewhere(self._room, journal) if self._room else Prompt(self.model_name, journal)
            name = str(sample.sample.id)
            brief = next((message.text for message in input if message.role == "user"), "")
            key = game_key(self.model_name, name, sample.epoch, store_as(AuditRecord).seed, brief)
            seat = journal.begin(
                key,
                await _attempt(journal, key, name, sample.epoch, afresh=self._afresh),
                player=self.model_name,
                sample=name,
                epoch=sample.epoch,
                log=sample.log_location,
            )
            self._sittings[sample.id] = Sitting(seat, Clock(seat.seconds, self._limit), journal, face)
        return self._sittings[sample.id]

    def _output(self, turn: Turn, number: int, sitting: "Sitting") -> ModelOutput:
        message = ChatMessageAssistant(
            content="",
            tool_calls=[ToolCall(id=f"turn-{number + 1}", function=turn.tool, arguments=turn.arguments)],
            model=self.model_name,
            source="generate",
            metadata={
                CLOCK: turn.seconds,
                "at": turn.at,
                WHO: turn.who,
                "sitting": turn.sitting,
                "attempt": sitting.seat.attempt,
            },
        )
        return ModelOutput(
            model=self.model_name,
            choices=[ChatCompletionChoice(message=message, stop_reason="tool_calls")],
            usage=ModelUsage(),
        )


@dataclass(frozen=True)
class Sitting:
    """One sitting at one game."""

    seat: Seat
    clock: Clock
    journal: Journal
    face: Face


async def _attempt(journal: Journal, key: str, sample: str, epoch: int, *, afresh: bool) -> int:
    """Which attempt is played: the last one where it was left, a new one where it is over."""
    last = journal.last(key)
    if last is None:
        return 1
    number, log = last
    return number + 1 if afresh or await _is_over(log, sample, epoch) else number


async def _is_over(log: str, sample: str, epoch: int) -> bool:
    """Whether a log holds the game to its end."""
    try:
        # Awaited: the other reader runs this very loop from within, which asyncio does not stand.
        summaries = await read_eval_log_sample_summaries_async(log)
    except (OSError, ValueError, KeyError):
        return False
    return any(one.id == sample and one.epoch == epoch and one.completed and not one.error for one in summaries)


async def _leave_the_eval() -> None:
    """End the eval as Ctrl-C does: its log is written, and says that it was cancelled."""
    signal.raise_signal(signal.SIGINT)
    await anyio.sleep_forever()
