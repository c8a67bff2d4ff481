import gc

from inspect_ai.tool import Tool, tool

from audit_env.tools import handles
from audit_env.tools.accounting import Call, charged


@tool
def make() -> Tool:
    @charged
    async def execute(call: Call, value: int) -> str:
        """Make it.

        Args:
            call: The books.
            value: What is kept.
        """
        return handles.keep(call, "vec", value, f"the number {value}")

    return execute


@tool
def use() -> Tool:
    @charged
    async def execute(call: Call, name: str, kind: str = "vec") -> str:
        """Use it.

        Args:
            call: The books.
            name: Of what.
            kind: What it must be.
        """
        return str(handles.take(call, name, kind))  # type: ignore[arg-type]

    return execute


def test_a_handle_leads_back_to_its_value_and_the_record_holds_its_name_alone(play) -> None:
    audit = play([("make", {"value": 70}), ("make", {"value": 71}), ("use", {"name": "vec:1"})], tools=(make, use))
    assert audit.texts[2].startswith("70\n")
    assert [(one.id, one.what, one.at_call) for one in audit.record.handles] == [
        ("vec:1", "the number 70", 1),
        ("vec:2", "the number 71", 2),
    ]


def test_an_unknown_handle_teaches_which_there_are(play) -> None:
    audit = play([("use", {"name": "vec:1"}), ("make", {"value": 70}), ("use", {"name": "vec:2"})], tools=(make, use))
    assert "no tool has made a 'vec:' handle yet" in audit.errors[0]
    assert "vec:1 (the number 70)" in audit.errors[2]


def test_a_handle_of_another_kind_is_refused(play) -> None:
    audit = play([("make", {"value": 70}), ("use", {"name": "vec:1", "kind": "probe"})], tools=(make, use))
    assert "No handle 'vec:1' that could be used here" in audit.errors[1]


def test_audits_do_not_share_handles_and_leave_none_behind(play) -> None:
    gc.collect()
    of_others = set(handles._KEPT)  # of other tests in this process, should something still hold on to their audits
    play([("make", {"value": 70})], tools=(make, use))
    assert "No handle" in play([("use", {"name": "vec:1"})], tools=(make, use)).errors[0]
    gc.collect()
    assert not set(handles._KEPT) - of_others
