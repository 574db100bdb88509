import pytest

from vlft.leaderboard import text


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0.65823, "0.6582"), (1, "1.0000"), (-0.5, "-0.5000"), (55.25, "55.25"), (1513.25, "1,513.2")],
)
def test_values(number, shown):
    assert text.value(number) == shown


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0, "0"), (9216, "9.22 k"), (412_672, "413 k"), (7e9, "7 B"), (3_412_672, "3.41 M")],
)
def test_numbers_of_parameters(number, shown):
    assert text.magnitude(number) == shown


def test_what_is_not_there_is_a_dash():
    shown = [text.value(None), text.count(None), text.magnitude(None), text.seconds(None)]
    assert set(shown) == {text.NOTHING}


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({"peft_type": "LORA", "r": 8}, "LoRA r=8"),
        ({"peft_type": "LORA", "r": 8, "use_dora": True}, "DoRA r=8"),
        ({"peft_type": "LORA", "r": 4, "init_lora_weights": "pissa_niter_4"}, "PiSSA r=4"),
        ({"peft_type": "LORA", "r": 4, "init_lora_weights": True}, "LoRA r=4"),
        ({"peft_type": "IA3"}, "IA3"),
        ({"strange": 1}, "adapter"),
    ],
)
def test_adapters(entry, settings, shown):
    assert text.adapter(entry(adapter=settings)) == shown


def test_a_bare_model_has_no_adapter(entry):
    assert text.adapter(entry(weights="w")) == "none"
    assert text.adapter(entry()) == text.NOTHING  # nothing is known of it


def test_moments(entry):
    assert text.moment(entry(date="2026-11-20T10:07:33+00:00")) == "2026-11-20 10:07 UTC"
    assert text.moment(entry(date="2026-11-20T10:07:33")) == "2026-11-20 10:07"
    assert text.moment(entry(date="spring")) == "spring"
