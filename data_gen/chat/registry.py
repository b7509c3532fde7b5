"""Language models by the name of their back end."""

from collections.abc import Callable

from data_gen.chat.base import Chat, ChatConfig

# Each is imported when it is asked for: it brings libraries along that the others do not need.


def _jax(config: ChatConfig) -> Chat:
    from data_gen.chat.native import JaxChat

    return JaxChat(config)


def _openai(config: ChatConfig) -> Chat:
    from data_gen.chat.openai import OpenAIChat

    return OpenAIChat(config)


def _transformers(config: ChatConfig) -> Chat:
    from data_gen.chat.on_torch import TransformersChat

    return TransformersChat(config)


#: ``config.backend`` -> the model, loaded.
CHATS: dict[str, Callable[[ChatConfig], Chat]] = {
    "jax": _jax,
    "openai": _openai,
    "transformers": _transformers,
}


def make_chat(config: ChatConfig) -> Chat:
    """The back end of a config, loaded.

    Raises:
      UserError: the model cannot be loaded, or PyTorch is not installed.
    """
    return CHATS[config.backend](config)
