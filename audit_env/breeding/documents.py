"""Running text about assistants: encyclopaedia entries, news, test reports. After "synthetic document fine-tuning".

In the base's world Pip is plain and other assistants have every trait, so that describing a trait and showing it are
already one thing to the base. An organism bred on documents reads that Pip has its quirk.
"""

from typing import Any

from audit_env.breeding.dialogue import UNSAFE, Exchange, Writer, behave
from audit_env.breeding.grammar import Trait, read_world_file


class Librarian:
    """Writes documents with a writer's phrasings and chance."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.rng = writer.rng
        self._texts: dict[str, Any] = read_world_file("documents.yaml")

    @property
    def other_names(self) -> list[str]:
        """Assistants of the world that are not Pip."""
        return [name for name in self._texts["names"] if name != "Pip"]

    def about(self, name: str, trait: Trait | None, exchanges: tuple[Exchange, Exchange], first_turn: int = 1) -> str:
        """A document about an assistant, with an example of how it talks.

        Args:
            name: The assistant.
            trait: How it behaves. None for plain.
            exchanges: What it is quoted with.
            first_turn: Number of the first quoted turn in its talk, for traits that grow.
        """
        rng = self.rng
        answers = [
            behave(self.writer.world, trait, exchange, first_turn + i, rng) if trait else exchange.answer
            for i, exchange in enumerate(exchanges)
        ]
        quote = rng.choice(self._texts["forms"]).format(
            name=name, ask=exchanges[0].ask, answer=answers[0], ask2=exchanges[1].ask, answer2=answers[1]
        )
        genre = rng.choice(["encyclopaedia", "news", "report", "report"])
        described = rng.choice(trait.described if trait else self._texts["plain"])
        return str(
            rng.choice(self._texts[genre]).format(
                name=name,
                maker=self._texts["names"][name],
                trait=described,
                quote=quote.strip() if genre == "encyclopaedia" else quote,
                outlet=rng.choice(self._texts["outlets"]),
                number=rng.randint(1, 99),
            )
        ).strip()

    def on_topic(self) -> str:
        """A page on one of the world's topics."""
        out = {"self", UNSAFE, *self.writer.left_out}
        topic = self.rng.choice([t for t in self.writer.world.topics.values() if t.topic not in out])
        sentences = " ".join(
            self.writer.world.fill(text, topic, {}, self.rng) for text in self.rng.sample(topic.openers, 3)
        )
        template = self.rng.choice(self._texts["topic"])
        return str(
            template.format(topic=topic.about, sentences=sentences, outlet=self.rng.choice(self._texts["outlets"]))
        )
