"""Models that write text token by token; `make_model` makes the one that the settings name."""

from __future__ import annotations

from streaming.config import Settings
from streaming.llm.base import Model


def make_model(settings: Settings) -> Model:
    """The models behind STREAMING_LLM_BASE_URL, or the simulated one where none is named.

    Imported here, so that a task's child process needs no HTTP library.
    """
    if not settings.llm_base_url:
        from streaming.llm.simulated import SimulatedModel

        return SimulatedModel()

    from streaming.llm.openai import OpenAIModel
    from streaming.llm.server import Patience

    return OpenAIModel(
        settings.llm_base_url,
        settings.llm_models,
        key=settings.llm_api_key.get_secret_value(),
        patience=Patience(settings.llm_connect_s, settings.llm_first_token_s, settings.llm_token_s),
        answer_tokens=settings.llm_max_tokens,
        step_tokens=settings.llm_step_tokens,
        think_tags=settings.llm_think_tags,
        thinks_first=settings.llm_thinks_first,
        omit=settings.llm_omit,
    )
