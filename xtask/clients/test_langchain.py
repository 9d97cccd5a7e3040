"""LangChain's own suite for chat models."""

import os

import pytest

from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests


class TestChatModel(ChatModelIntegrationTests):
    @property
    def chat_model_class(self):
        return ChatOpenAI

    @property
    def chat_model_params(self):
        return {
            "model": "smollm2:135m",
            "base_url": os.environ["KUN_TEST_URL"].rstrip("/") + "/v1",
            "api_key": "none",
            "temperature": 0,
            # At temperature 0 a model of this size begins to repeat itself within texts that have no end; the server's guard
            # finds it a way out.
            "max_tokens": 700,
            # The suite counts calls.
            "model_kwargs": {"parallel_tool_calls": False},
            "stream_usage": True,
        }

    @property
    def has_tool_calling(self):
        return True

    @property
    def has_tool_choice(self):
        return True

    @property
    def has_structured_output(self):
        return True

    @property
    def supports_json_mode(self):
        return True

    @property
    def supports_image_inputs(self):
        return False

    @property
    def returns_usage_metadata(self):
        return True

    # The suite leaves the choice to the model here.
    @pytest.mark.xfail(reason="a model of 135 million weights calls no tool unless it must", strict=False)
    def test_agent_loop(self, model):
        super().test_agent_loop(model)
