"""LangChain's own suite for chat models."""

import os

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
            "max_tokens": 400,
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
