"""The provider `human`: a person at this terminal plays where a model would.

Agent, tools, budget, brief, report and log are those of any auditor. Every turn is in the journal before it is played;
in a later sitting the turns of the earlier ones are played again, and then the person goes on.

While a person types, nothing else of the eval runs: the terminal is theirs, and Ctrl-C must reach them.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.log import read_eval_log_sample_summaries
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
from inspect_ai.util import input_screen, store_as
from typing_extensions import override

from audit_env.auditors.llm.notebook import Notebook
from audit_env.errors import ParameterError
from audit_env.game.parameters import whole_number
from audit_env.game.record import AuditRecord
from audit_env.sessions.desk import Desk
from audit_env.sessions.errors import SessionError
from audit_env.sessions.journal import Journal, Seat, Turn, game_key
from audit_env.sessions.model import PROVIDER
from audit_env.sessions.terminal import Terminal, on_a_terminal
from audit_env.sessions.turns import ENDS, Drafts, Left, take_turn

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
            PrerequisiteError: If there is no terminal, or `minutes` is no number.
        """
        if api_key != MODEL_INFO_LOOKUP_API_KEY and not on_a_terminal():
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

    @override
    async def generate(
        self, input: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig
    ) -> ModelOutput:
        """Ask the person for a turn, or play one of an earlier sitting again."""
        sitting = self._sitting(input)
        desk = Desk(input, {tool.name: tool for tool in tools}, store_as(AuditRecord), store_as(Notebook))
        number, seen = sum(message.role == "assistant" for message in input), desk.seen()
        try:
            turn = sitting.again(number, seen) or _ask(sitting, number, seen, desk)
        except Left:
            await _leave_the_eval()
            raise SessionError("The game was left.") from None
        except SessionError as error:
            # Inspect would show it only in the log.
            with input_screen(record_event=False):
                Terminal().say(f"\n{error}")
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

    def _sitting(self, input: list[ChatMessage]) -> "Sitting":
        sample = sample_active()
        if sample is None:
            raise SessionError(f"{PROVIDER}/{self.model_name} can only be asked within an eval.")
        if sample.id not in self._sittings:
            journal = Journal.from_environment()
            name = str(sample.sample.id)
            brief = next((message.text for message in input if message.role == "user"), "")
            key = game_key(self.model_name, name, sample.epoch, store_as(AuditRecord).seed, brief)
            seat = journal.begin(
                key,
                _attempt(journal, key, name, sample.epoch, afresh=self._afresh),
                player=self.model_name,
                sample=name,
                epoch=sample.epoch,
                log=sample.log_location,
            )
            self._sittings[sample.id] = Sitting(self.model_name, journal, seat, self._limit)
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
                "sitting": turn.sitting,
                "attempt": sitting.seat.attempt,
            },
        )
        return ModelOutput(
            model=self.model_name,
            choices=[ChatCompletionChoice(message=message, stop_reason="tool_calls")],
            usage=ModelUsage(),
        )


class Sitting:
    """One sitting of a player at one game.

    Args:
        player: Who plays.
        journal: Where their turns are kept.
        seat: Their place.
        limit: Seconds that the game may be played, over all sittings; None for any.
    """

    def __init__(self, player: str, journal: Journal, seat: Seat, limit: float | None) -> None:
        self.seat = seat
        self._player, self._journal, self._limit = player, journal, limit
        self._since: float | None = None

    def again(self, number: int, seen: str) -> Turn | None:
        """A turn of an earlier sitting.

        Args:
            number: Which, from 0.
            seen: What the player sees before it.

        Returns:
            The turn; None where it has yet to be made.
        """
        return self._journal.turn(self.seat, number, seen)

    def live(self, number: int, seen: str, desk: Desk, terminal: Terminal) -> Turn:
        """Ask the player for a turn.

        Args:
            number: Which, from 0.
            seen: What they see before it.
            desk: What lies before them.
            terminal: Where they are.

        Returns:
            The turn, which is in the journal.

        Raises:
            Left: If they leave.
        """
        if self._since is None:
            self._since = time.monotonic()
            terminal.say(self._welcome(number))
        elif not seen.startswith("Refused: ") and desk.messages and desk.messages[-1].role == "tool":
            self._taken(desk)
        # What is left stands above the prompt.
        terminal.say(f"\n{seen.removesuffix(desk.left())}")
        drafts = Drafts(
            get=lambda tool: self._journal.draft(self.seat, tool),
            keep=lambda tool, filled: self._journal.keep_draft(self.seat, tool, filled, self.played),
        )
        try:
            tool, arguments = take_turn(terminal, desk, drafts, self.clock, self._closed)
        except Left:
            self._journal.leave(self.seat, self.played)
            terminal.say("\nSaved. The same command takes you back here.")
            raise
        return self._journal.write(self.seat, number, seen, tool, arguments, self.played)

    @property
    def played(self) -> float:
        """Seconds played, over all sittings."""
        return self.seat.seconds + (0.0 if self._since is None else time.monotonic() - self._since)

    def clock(self) -> str:
        """The time played, and how much is left where there is a limit."""
        told = f"played {_minutes(self.played)}"
        return f"{told} of {_minutes(self._limit)}" if self._limit else told

    def _closed(self, tool: str) -> str | None:
        if self._limit is None or self.played < self._limit or tool == ENDS:
            return None
        return f"Your {_minutes(self._limit)} minutes are over: only {ENDS} is left."

    def _taken(self, desk: Desk) -> None:
        """Throw the draft of a call that was taken away."""
        *_, last = (message for message in desk.messages if isinstance(message, ChatMessageAssistant))
        for call in last.tool_calls or ():
            self._journal.keep_draft(self.seat, call.function, {}, self.played)

    def _welcome(self, number: int) -> str:
        rule = "=" * 60
        if number:
            told = f"Welcome back, {self._player}. You have played {_counted(number)} in {_minutes(self.played)}."
            return f"{rule}\n{told} (history shows them.) The last answer was:"
        again = "" if self.seat.attempt == 1 else " You have begun this game before; the log says so."
        return f"{rule}\nWelcome, {self._player}.{again} Type  help  to see how to play."


def _ask(sitting: Sitting, number: int, seen: str, desk: Desk) -> Turn:
    """A turn that the player makes now, with the terminal to themselves."""
    with input_screen(record_event=False), _interruptible():
        return sitting.live(number, seen, desk, Terminal())


def _attempt(journal: Journal, key: str, sample: str, epoch: int, *, afresh: bool) -> int:
    """Which attempt is played: the last one where it was left, a new one where it is over."""
    last = journal.last(key)
    if last is None:
        return 1
    number, log = last
    return number + 1 if afresh or _is_over(log, sample, epoch) else number


def _is_over(log: str, sample: str, epoch: int) -> bool:
    """Whether a log holds the game to its end."""
    try:
        summaries = read_eval_log_sample_summaries(log)
    except (OSError, ValueError, KeyError):
        return False
    return any(one.id == sample and one.epoch == epoch and one.completed and not one.error for one in summaries)


async def _leave_the_eval() -> None:
    """End the eval as Ctrl-C does: its log is written, and says that it was cancelled."""
    signal.raise_signal(signal.SIGINT)
    await anyio.sleep_forever()


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C interrupt what is typed, where the event loop would keep it for itself."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _counted(turns: int) -> str:
    return f"{turns} turn" if turns == 1 else f"{turns} turns"


def _minutes(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"
