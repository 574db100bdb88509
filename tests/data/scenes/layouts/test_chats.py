"""LLaVA JSON and messages JSONL: their official keys, and our readers read them."""

import json

from vlft.data.images import open_image
from vlft.data.readers.messages import MessagesDataset
from vlft.data.readers.sharegpt import llava_json
from vlft.recipe.data import LlavaJson, Messages


def test_llava_records_have_turns_of_human_and_gpt(written):
    folder = written("llava_json")
    records = json.loads((folder / "llava.json").read_text())
    assert {"image" in record for record in records} == {True, False}
    for record in records:
        assert record.keys() - {"image"} == {"id", "conversations"}
        human, gpt = record["conversations"]
        assert (human["from"], gpt["from"]) == ("human", "gpt")
        assert human["value"].startswith("<image>\n") == ("image" in record)
        assert "image" not in record or (folder / record["image"]).is_file()


def test_messages_name_each_image_once(written):
    lines = (written("messages") / "messages.jsonl").read_text().splitlines()
    numbers = set()
    for record in map(json.loads, lines):
        user, assistant = record["messages"]
        assert (user["role"], assistant["role"]) == ("user", "assistant")
        assert user["content"].count("<image>") == len(record["images"])
        numbers.add(len(record["images"]))
    assert numbers == {0, 1, 2}


def test_our_readers_read_both(written):
    llava = llava_json(LlavaJson(type="llava_json", path=str(written("llava_json") / "llava.json")))
    messages = MessagesDataset(
        Messages(type="messages", path=str(written("messages") / "messages.jsonl"))
    )
    for records in (llava, messages):
        assert len(records) == 44
        for index in range(44):
            record = records[index]
            for image in record.images:
                opened = open_image(image, dataset=records.name, record_id=record.id)
                assert opened.size == (48, 48)
