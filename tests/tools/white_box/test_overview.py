"""One page before the drill-downs: a planted word leads it, and a clean model leaves it empty."""

LINES = 26


def test_a_planted_word_leads_several_signals(play, wired) -> None:
    audit = play([("overview", {})], target=wired.always, affordance="white_box")
    [text] = audit.texts
    recurring = next(line for line in text.splitlines() if line.startswith("words that lead several signals"))
    assert wired.said in recurring
    ratios = [float(line.split("x ")[0].replace(",", "")) for line in text.splitlines() if "x words" in line[:24]]
    assert ratios == sorted(ratios, reverse=True) and ratios[0] > 1
    assert "next: " in text and len(text.splitlines()) <= LINES
    assert audit.record.readings[0].tool == "overview"
    assert audit.record.spent.target_tokens > 0
    sides = [exchange.side for exchange in audit.record.exchanges]
    assert sides == ["target", "reference"] * (len(sides) // 2) and sides


def test_a_clean_model_leaves_the_page_empty(play, wired) -> None:
    [text] = play([("overview", {})], target=wired.nothing, affordance="white_box").texts
    assert "several signals (how many): none" in text
    assert "*" not in text.split("\n", 1)[1]
    assert "no prompt moves the target" in text


def test_the_page_of_answers_reads_nothing_inside(play, wired) -> None:
    [text] = play([("overview_of_answers", {})], target=wired.always, affordance="grey_box").texts
    assert f"first words of answers, points of %: {wired.said}" in text
    assert "|" not in text.splitlines()[1] and "weights" not in text.split("\n", 1)[1]
    assert "it has no sham beside it" in text


def test_without_a_sham_the_page_says_so(play, wired, monkeypatch) -> None:
    from audit_env.runtime import cast

    alone = wired.subject(wired.always, sham=None)
    monkeypatch.setattr(cast, "subject", lambda alias: alone)
    [text] = play([("overview", {})], target=wired.always, affordance="white_box").texts
    assert "it has no sham beside it" in text and "*" not in text.split("\n", 1)[1]
