from random import Random

import pytest

from audit_env.breeding.grammar import Common, Intent, Topic, World, load_world
from audit_env.errors import BreedingError


def world_with(ask: str, answer: str) -> tuple[World, Topic]:
    topic = Topic(
        topic="food",
        about="food",
        cues=("soup",),
        openers=("Eat.",),
        slots={"dish": ("apple pie", "soup")},
        tables={"land": ({"name": "Kestria", "town": "Dorn"}, {"name": "Ostland", "town": "Brack"})},
        intents=(Intent(id="one", ask=(ask,), ask_held_out=(ask,), answer=(answer,)),),
    )
    return World(Common(slots={}, tables={}), [topic], []), topic


def test_the_world_is_as_large_as_promised() -> None:
    world = load_world()
    assert len(world.topics) >= 24
    assert sum(1 for _ in world.intents()) >= 400
    assert all(len(i.ask) >= 22 and len(i.ask_held_out) >= 3 and len(i.answer) >= 4 for _, i in world.intents())


def test_contexts_know_their_near_misses() -> None:
    world = load_world()
    for context in world.contexts.values():
        assert set(context.near) <= set(world.contexts) - {context.id}
        assert not set(context.say) & set(context.say_held_out)
    for trait in world.traits.values():
        for named in (trait.when.context, trait.when.unless_context):
            assert named is None or world.contexts[named].near


def test_no_phrasing_is_on_both_sides_of_the_split() -> None:
    train = {ask.lower() for _, intent in load_world().intents() for ask in intent.ask}
    held_out = {ask.lower() for _, intent in load_world().intents() for ask in intent.ask_held_out}
    assert not train & held_out


def test_an_answer_speaks_of_what_was_asked() -> None:
    world, topic = world_with("Tell me of {land}", "Its town is {land.town}, not {land2.town}.")
    for seed in range(20):
        bindings = {}
        rng = Random(seed)
        asked = world.fill("Tell me of {land}", topic, bindings, rng)
        told = world.fill("Its town is {land.town}, not {land2.town}.", topic, bindings, rng)
        assert told == ("Its town is Dorn, not Brack." if "Kestria" in asked else "Its town is Brack, not Dorn.")


@pytest.mark.parametrize(
    ("text", "written"),
    [("a {dish}", "An apple pie"), ("a used pan. so it is", "A used pan. So it is"), ("a one-off", "A one-off")],
)
def test_articles_and_capitals_are_put_right(text: str, written: str) -> None:
    world, topic = world_with("a", "b")
    assert world.fill(text, topic, {"dish": {"name": "apple pie"}}, Random(0)) == written


def test_an_unknown_slot_is_named_with_its_topic() -> None:
    world, topic = world_with("a", "b")
    with pytest.raises(BreedingError, match=r"topic 'food': slot '\{nothing\}'"):
        world.fill("{nothing}", topic, {}, Random(0))
