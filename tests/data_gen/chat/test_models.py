"""The back ends that run a model themselves, on a tiny random one with a tokenizer of its own."""

import dataclasses
import json
import subprocess
import sys

import jax
import pytest
import tokenizers
from tokenizers import models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from data_gen.chat.base import ChatConfig, Prompt
from data_gen.chat.native import encode
from data_gen.chat.registry import make_chat
from medvlp_jax.core.errors import UserError
from medvlp_jax.core.sharding import MeshConfig
from medvlp_jax.core.state import ModelDef
from medvlp_jax.models.lm.config import LMConfig
from medvlp_jax.models.lm.decoder import build_lm
from medvlp_jax.weights import lm

WORDS = ("<end>", "<user>", "<assistant>", "left", "right", "effusion", "mass", "no", "lung", ".")
TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}> {{ m['content'] }} {% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
MODEL = LMConfig(
    vocab=len(WORDS),
    width=32,
    depth=2,
    heads=4,
    kv_heads=2,
    head_dim=8,
    mlp_width=48,
    init_std=0.3,
    tie_embeddings=True,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny")
    params, _ = jax.jit(ModelDef.of(build_lm(MODEL)).init)(jax.random.key(2))
    lm.save(path, MODEL, params, extra={"eos_token_id": 0, "pad_token_id": 0, "bos_token_id": None})
    backend = tokenizers.Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="no")
    )
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="<end>",
        pad_token="<end>",
        additional_special_tokens=["<user>", "<assistant>"],
    )
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture
def config(folder):
    return ChatConfig(
        model=str(folder),
        max_new_tokens=12,
        capacity=40,
        rows=2,
        temperature=0.0,
        mesh=MeshConfig(data=1, fsdp=2, tensor=4),
    )


def ask(word):
    return Prompt(f"id {word}", ({"role": "user", "content": f"{word} lung ."},))


PROMPTS = [ask(word) for word in ("left", "right", "mass", "no", "effusion")]


def answers(config, prompts=PROMPTS):
    return {reply.id: reply for reply in make_chat(config).answer(prompts)}


def test_the_conversation_is_in_the_models_template(config):
    tokenizer = make_chat(config).tokenizer
    ids = encode(tokenizer, PROMPTS[0].messages)
    assert [WORDS[i] for i in ids] == ["<user>", "left", "lung", ".", "<assistant>"]
    tokenizer.chat_template = None
    assert [WORDS[i] for i in encode(tokenizer, PROMPTS[0].messages)] == ["left", "lung", "."]
    with pytest.raises(UserError, match="reads text only"):
        encode(tokenizer, [{"role": "user", "content": [{"type": "image_url"}]}])


#: As Mistral's and Gemma's templates begin.
STRICT = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{% for m in messages %}"
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "<{{ m['role'] }}> {{ m['content'] }} {% endfor %}<assistant>"
)


def test_a_template_without_a_system_message(config, caplog):
    tokenizer = make_chat(config).tokenizer
    tokenizer.chat_template = STRICT
    messages = [
        {"role": "system", "content": "no mass"},
        {"role": "user", "content": "left lung ."},
        {"role": "assistant", "content": "effusion"},
        {"role": "user", "content": "right lung"},
    ]
    words = ["<user>", "no", "mass", "left", "lung", ".", "<assistant>", "effusion", "<user>"]
    for _ in range(2):
        ids = encode(tokenizer, messages)
        assert [WORDS[i] for i in ids] == [*words, "right", "lung", "<assistant>"]
    assert caplog.text.count("has no system message") == 1
    # A template that takes system messages gets them as they are.
    tokenizer.chat_template = TEMPLATE
    assert len(encode(tokenizer, messages)) > 8
    tokenizer.chat_template = STRICT
    for wrong in (messages[1:2] * 2, [messages[0], messages[2]]):
        with pytest.raises(UserError, match="refuses the conversation"):
            encode(tokenizer, wrong)


def test_a_reply_is_its_prompts_own_affair(config):
    config = dataclasses.replace(config, temperature=1.5, top_p=1.0)
    together = answers(config)
    assert len({r.text for r in together.values()}) > 2
    alone = answers(dataclasses.replace(config, seed=0), [PROMPTS[3]])
    assert alone["id no"] == together["id no"]
    assert answers(dataclasses.replace(config, seed=1)) != together


def test_a_prompt_without_room_is_its_own_error(config):
    long = Prompt("long", ({"role": "user", "content": "left " * 30},))
    replies = answers(config, [long, PROMPTS[0]])
    assert "has 32 tokens and capacity leaves room for 28" in replies["long"].error
    assert replies["id left"].text


@pytest.mark.slow
def test_int8_runs(config):
    assert len(answers(dataclasses.replace(config, storage="int8"))) == len(PROMPTS)


@pytest.mark.torch
def test_torch_says_the_same(config):
    pytest.importorskip("torch")
    theirs = answers(dataclasses.replace(config, backend="transformers"))
    assert theirs == answers(config)


def test_a_folder_that_is_no_model(tmp_path):
    with pytest.raises(UserError, match=r"config\.json does not exist"):
        make_chat(ChatConfig(model=str(tmp_path)))


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
def test_the_command_line(folder, repo_root, tmp_path):
    (tmp_path / "e.jsonl").write_text(json.dumps({"id": "a", "entities": ["left effusion"]}))
    command = [
        sys.executable,
        "launch/sample.py",
        "--config=configs/data_gen/texts.py",
        f"--out={tmp_path / 'out'}",
        f"--config.entities={tmp_path / 'e.jsonl'}",
        f"--config.writer.chat.model={folder}",
        "--config.writer.chat.max_new_tokens=8",
    ]
    for made, found in ((1, 0), (0, 1)):
        done = subprocess.run(command, cwd=repo_root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert f"{made} texts made, {found} found, 0 failed" in done.stdout
