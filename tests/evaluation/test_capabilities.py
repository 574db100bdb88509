import copy
from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from PIL import Image
from tokenizers.processors import TemplateProcessing
from torch.nn.functional import log_softmax, normalize

from vlft.data.chat import ChatFormat
from vlft.data.scenes import draw_scene, render
from vlft.errors import EvaluationError
from vlft.evaluation.capabilities import ContrastiveModel, GenerativeModel, capabilities_of
from vlft.evaluation.prompts import image_markup
from vlft.types import Embeds, Generates, Message, Prompt, Scores

TEXTS = (
    "what color is the circle?",
    "is there a blue frame?",
    "how many objects are there?",
    "in which half is the cyan oval, left or right?",
    "what?",
)


def picture(index):
    return render(draw_scene(5, index))


def prompt(text, *images):
    return Prompt((Message("user", (*range(len(images)), text)),), images)


@pytest.fixture(scope="module")
def prompts():
    """No, one and two images, different lengths, turns before the last, images inside the text."""
    single = [prompt(text, picture(number)) for number, text in enumerate(TEXTS)]
    turns = (
        Message("system", ("you answer shortly.",)),
        Message("user", ("first", 1, "then", 0, "which is left?")),
        Message("assistant", ("the first",)),
        Message("user", ("and now?",)),
    )
    return [
        single[0],
        prompt(TEXTS[0]),
        single[1],
        Prompt(turns, (picture(7), picture(8))),
        prompt(TEXTS[3], picture(3), picture(4)),
        prompt(TEXTS[4]),
        *single[2:],
    ]


def adapted(backbone):
    config = LoraConfig(target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    torch.manual_seed(2)
    return replace(backbone, model=get_peft_model(backbone.model, config))


def test_capabilities_of_each_family(host):
    generative, contrastive = (capabilities_of(host(name)) for name in ("tiny_llava", "tiny_clip"))
    assert isinstance(generative, Generates)
    assert isinstance(generative, Scores)
    assert not isinstance(generative, Embeds)
    assert isinstance(contrastive, Embeds)
    assert not isinstance(contrastive, Generates)


@pytest.mark.parametrize("wrap", [lambda backbone: backbone, adapted], ids=["bare", "lora"])
def test_answers_do_not_depend_on_the_batch(lively, prompts, wrap):
    backbone = wrap(lively("tiny_llava"))
    alone = GenerativeModel(backbone, batch_size=1).generate(prompts, max_new_tokens=6)
    together = GenerativeModel(backbone, batch_size=8).generate(prompts, max_new_tokens=6)
    assert together == alone
    assert len(set(alone)) == len(alone)  # else the test could not fail


def test_left_padded_answers_are_those_of_a_plain_loop(lively, prompts):
    """The reference shares nothing with the capability: forward passes on one unpadded row."""
    backbone = lively("tiny_llava")
    processor, model = backbone.processor, backbone.model.eval()
    expected = []
    for asked in prompts:
        order = [piece for turn in asked.messages for piece in turn.content if piece in (0, 1)]
        text = ChatFormat(processor).render(asked.messages, add_generation_prompt=True)
        images = [asked.images[number] for number in order] or None
        inputs = processor(text=text, images=images, add_special_tokens=False, return_tensors="pt")
        start = inputs["input_ids"].shape[1]
        for _ in range(6):
            with torch.no_grad():
                token = model(**inputs).logits[0, -1].argmax()
            if token == processor.tokenizer.eos_token_id:
                break
            inputs["input_ids"] = torch.cat([inputs["input_ids"], token[None, None]], dim=1)
            inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        new = inputs["input_ids"][0, start:]
        expected.append(processor.tokenizer.decode(new, skip_special_tokens=True).strip())
    found = GenerativeModel(backbone, batch_size=4).generate(prompts, max_new_tokens=6)
    assert found == expected


def test_rows_with_and_without_images_never_share_a_batch(lively, prompts):
    """LLaVA would take them together; hosts with padded image tensors would not."""
    backbone = lively("tiny_llava")
    generate, image_token = backbone.model.generate, backbone.processor.image_token_id
    seen = []

    def spy(**inputs):
        with_image = (inputs["input_ids"] == image_token).any(dim=1)
        seen.append(("pixel_values" in inputs, set(with_image.tolist())))
        return generate(**inputs)

    backbone.model.generate = spy
    GenerativeModel(backbone, batch_size=3).generate(prompts, max_new_tokens=2)
    assert len(seen) == 4
    assert all(rows == {has_images} for has_images, rows in seen)


def test_the_image_and_its_place_change_the_answer(lively):
    model = GenerativeModel(lively("tiny_llava"))
    first, second = picture(1), picture(2)
    asked = [
        prompt("what?", first),
        prompt("what?", second),
        prompt("what?", first, second),
        prompt("what?", second, first),
        Prompt((Message("user", (1, 0, "what?")),), (second, first)),
    ]
    one, two, forth, back, by_index = model.generate(asked, max_new_tokens=8)
    assert len({one, two, forth, back}) == 4
    assert by_index == forth


def test_settings_of_the_checkpoint_do_not_change_greedy_decoding(lively, prompts):
    backbone = lively("tiny_llava")
    expected = GenerativeModel(backbone).generate(prompts, max_new_tokens=6)
    settings = backbone.model.generation_config
    settings.repetition_penalty, settings.no_repeat_ngram_size = 5.0, 1
    settings.do_sample, settings.temperature, settings.top_k, settings.top_p = True, 3.0, 2, 0.5
    assert GenerativeModel(backbone).generate(prompts, max_new_tokens=6) == expected


def test_logits_that_are_nan_give_no_answer(lively, prompts):
    backbone = lively("tiny_llava")
    with torch.no_grad():
        next(backbone.model.parameters()).fill_(float("nan"))
    with pytest.raises(EvaluationError, match="the model's logits are NaN"):
        GenerativeModel(backbone).generate(prompts, max_new_tokens=2)


def test_an_answer_ends_with_its_turn(lively):
    """A head that always says the end-of-turn token gives empty answers."""
    backbone = lively("tiny_llava")
    end = backbone.processor.tokenizer.eos_token_id
    head = backbone.model.lm_head
    index = torch.tensor([end])
    head.register_forward_hook(lambda module, inputs, logits: logits.index_fill(-1, index, 1e4))
    assert GenerativeModel(backbone).generate([prompt("what?")], max_new_tokens=6) == [""]


@pytest.mark.parametrize("call", ["generate", "score"])
def test_modules_get_their_own_modes_back_and_no_gradient_flows(lively, call):
    backbone = lively("tiny_llava")
    backbone.model.train()
    backbone.model.model.vision_tower.eval()
    before = [module.training for module in backbone.model.modules()]
    seen = []
    backbone.model.lm_head.register_forward_hook(
        lambda module, inputs, logits: seen.append((module.training, logits.requires_grad))
    )
    asked = [prompt("what?", picture(0))]
    if call == "generate":
        GenerativeModel(backbone).generate(asked, max_new_tokens=2)
    else:
        GenerativeModel(backbone).score(asked, [["red"]])
    assert set(seen) == {(False, False)}
    assert [module.training for module in backbone.model.modules()] == before


def test_modes_come_back_after_an_error(lively):
    backbone = lively("tiny_llava")
    backbone.model.train()
    with pytest.raises(EvaluationError):
        GenerativeModel(backbone).generate([prompt("<image> what?")], max_new_tokens=2)
    assert all(module.training for module in backbone.model.modules())


def test_the_placeholder_in_the_text_is_refused(host):
    with pytest.raises(EvaluationError, match="'<image>', which stands for an image"):
        GenerativeModel(host("tiny_llava")).generate(
            [prompt("<image>what?", picture(0))], max_new_tokens=2
        )


def test_a_text_only_host_answers_text_and_refuses_images(lively):
    model = GenerativeModel(lively("tiny_llama"))
    answers = model.generate([prompt(text) for text in TEXTS], max_new_tokens=4)
    assert len(set(answers)) == len(TEXTS)
    with pytest.raises(EvaluationError, match="text only"):
        model.generate([prompt("what?", picture(0))], max_new_tokens=2)


def test_nothing_asked_gives_nothing(host):
    assert GenerativeModel(host("tiny_llava")).generate([], max_new_tokens=2) == []
    assert GenerativeModel(host("tiny_llava")).score([], []) == []


CONTINUATIONS = ("red", "the red circle is left of the blue square.", "a", "zebra 17", "yes")


def totals(likelihoods):
    return [likelihood.total for likelihood in likelihoods]


@pytest.mark.parametrize("name", ["tiny_llava", "tiny_llama"])
def test_scores_are_sums_of_log_softmax_of_a_plain_forward(lively, name):
    backbone = lively(name)
    processor, model = backbone.processor, backbone.model.eval()
    chat = ChatFormat(processor)
    images = (picture(0),) if chat.takes_images else ()
    asked = prompt("what is left?", *images)
    expected = []
    for text in CONTINUATIONS:
        start = chat.render(asked.messages, add_generation_prompt=True)
        options = {"images": [images]} if images else {}
        ids = [
            processor(text=[words], **options, add_special_tokens=False, return_tensors="pt")
            for words in (start, start + text)
        ]
        with torch.no_grad():
            chances = log_softmax(model(**ids[1]).logits[0].double(), dim=-1)
        tokens, begin = ids[1]["input_ids"][0], ids[0]["input_ids"].shape[1]
        expected.append(sum(float(chances[p - 1, tokens[p]]) for p in range(begin, len(tokens))))
    (found,) = GenerativeModel(backbone, batch_size=2).score([asked], [CONTINUATIONS])
    assert totals(found) == pytest.approx(expected, abs=2e-4)
    counts = [
        len(chat.tokenizer(text, add_special_tokens=False).input_ids) for text in CONTINUATIONS
    ]
    assert [likelihood.num_tokens for likelihood in found] == counts
    assert {1} < set(counts)  # some share a row, some have one of their own


@pytest.mark.parametrize("wrap", [lambda backbone: backbone, adapted], ids=["bare", "lora"])
def test_scores_do_not_depend_on_the_batch_or_the_order(lively, prompts, wrap):
    backbone = wrap(lively("tiny_llava"))
    asked = [CONTINUATIONS[: 1 + number % 5] for number in range(len(prompts))]
    alone = GenerativeModel(backbone, batch_size=1).score(prompts, asked)
    together = GenerativeModel(backbone, batch_size=8).score(prompts, asked)
    assert [len(row) for row in together] == [len(row) for row in asked]
    flipped = GenerativeModel(backbone, batch_size=8).score(
        prompts[::-1], [row[::-1] for row in asked[::-1]]
    )
    flipped = [row[::-1] for row in flipped[::-1]]
    for one, other, third in zip(alone, together, flipped, strict=True):
        assert totals(other) == pytest.approx(totals(one), abs=2e-4)
        assert totals(third) == pytest.approx(totals(one), abs=2e-4)
        assert [one.num_tokens for one in other] == [one.num_tokens for one in third]


@pytest.mark.parametrize("text", ["red", "the red circle"])
def test_a_processor_that_writes_something_behind_the_text_is_refused(host, text):
    """One token, whose row ends before it, or several: both would be read at a wrong place."""
    processor = copy.deepcopy(host("tiny_llava").processor)
    backbone = replace(host("tiny_llava"), processor=processor)
    tokenizer = processor.tokenizer
    processor.chat_template = processor.chat_template.replace("{{- bos_token -}}", "")
    end = tokenizer.convert_ids_to_tokens(tokenizer.eos_token_id)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"$A {end}", special_tokens=[(end, tokenizer.eos_token_id)]
    )
    with pytest.raises(EvaluationError, match="writes other tokens than its tokenizer"):
        GenerativeModel(backbone).score([prompt("what?", picture(0))], [[text]])


@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_continuation_is_refused(host, text):
    with pytest.raises(EvaluationError, match="cannot be scored"):
        GenerativeModel(host("tiny_llava")).score([prompt("what?")], [["red", text]])


@pytest.mark.parametrize("wrap", [lambda backbone: backbone, adapted], ids=["bare", "lora"])
def test_embeddings_are_those_of_the_model_and_have_length_one(lively, wrap):
    backbone = wrap(lively("tiny_clip"))
    images = [picture(number) for number in range(5)]
    model = ContrastiveModel(backbone, batch_size=2)
    found_images, found_texts = model.embed_images(images), model.embed_texts(TEXTS)
    inputs = backbone.processor(images=images, text=list(TEXTS), padding=True, return_tensors="pt")
    with torch.no_grad():
        outputs = backbone.model.eval()(**inputs)
    torch.testing.assert_close(found_images, outputs.image_embeds, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found_texts, outputs.text_embeds, atol=1e-5, rtol=1e-4)
    for embeddings in (found_images, found_texts):
        torch.testing.assert_close(embeddings.norm(dim=-1), torch.ones(5))
    assert (found_images @ found_texts.T).std() > 0.01


def test_embeddings_do_not_depend_on_the_batch(lively):
    backbone = lively("tiny_clip")
    images = [picture(number) for number in range(5)]
    for call, items in (("embed_images", images), ("embed_texts", TEXTS)):
        alone = getattr(ContrastiveModel(backbone, batch_size=1), call)(items)
        together = getattr(ContrastiveModel(backbone, batch_size=8), call)(items)
        torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_a_text_that_is_too_long_is_cut(host):
    model = ContrastiveModel(host("tiny_clip"))
    long = model.embed_texts(["red circle " * 500])
    assert long.isfinite().all()


def test_embeddings_can_be_trained_on_afterwards(host):
    """No tensor of inference mode gets out, where autograd would refuse it."""
    embeddings = ContrastiveModel(host("tiny_clip")).embed_images([Image.new("RGB", (48, 48))])
    weight = torch.ones_like(embeddings, requires_grad=True)
    (weight * embeddings).sum().backward()
    assert weight.grad is not None


def test_dtype_of_the_model_is_that_of_the_pixels(host):
    backbone = host("tiny_llava")
    backbone.model.to(torch.bfloat16)
    model = GenerativeModel(backbone)
    asked = [prompt("what?", picture(0))]
    assert len(model.generate(asked, max_new_tokens=2)) == 1
    assert model.score(asked, [["red"]])[0][0].total < 0


@pytest.mark.parametrize("chat_template", [True, False])
@pytest.mark.parametrize("name", ["tiny_llava", "tiny_llama"])
def test_a_prompt_is_embedded_by_its_last_token(lively, name, chat_template):
    backbone = lively(name)
    images = (picture(1),) if name == "tiny_llava" else ()
    asked = [prompt("what is left?", *images), prompt("a"), prompt("what color is the square?")]
    model = GenerativeModel(backbone, batch_size=8)
    found = model.embed_prompts(asked, chat_template=chat_template)
    assert found.norm(dim=-1).tolist() == pytest.approx([1, 1, 1], abs=1e-5)
    for row, one in zip(found, asked, strict=True):
        alone = GenerativeModel(backbone, batch_size=1).embed_prompts(
            [one], chat_template=chat_template
        )
        torch.testing.assert_close(alone[0], row, atol=1e-4, rtol=1e-3)
    assert (found @ found.T)[0, 2] < 0.999


def test_without_a_template_a_prompt_is_its_bare_text(lively):
    backbone = lively("tiny_llava")
    processor, text, image = backbone.processor, "find the red circle.\n", picture(2)
    asked = Prompt((Message("user", (0, text)),), (image,))
    found = GenerativeModel(backbone).embed_prompts([asked], chat_template=False)
    markup = image_markup(ChatFormat(processor))
    inputs = processor(text=[markup + text], images=[[image]], return_tensors="pt")
    with torch.no_grad():
        outputs = backbone.model.eval()(**inputs, output_hidden_states=True)
    expected = normalize(outputs.hidden_states[-1][:, -1], dim=-1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
