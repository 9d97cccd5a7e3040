"""Large language models on CPUs, in your own process.

>>> import kun                                            # doctest: +SKIP
>>> engine = kun.Engine("smollm2:135m")                   # doctest: +SKIP
>>> engine.generate(["The sea is"], max_tokens=8)[0].text # doctest: +SKIP
"""

from ._kun import __version__
from .engine import Engine
from .errors import (
    Cancelled,
    Closed,
    EngineError,
    Error,
    ModelError,
    OutOfMemory,
    QueueFull,
    RequestError,
    TimedOut,
)
from .results import Chat, Completion, Piece, Usage
from .streams import Stream, TokenStream

__all__ = [
    "Cancelled",
    "Chat",
    "Closed",
    "Completion",
    "Engine",
    "EngineError",
    "Error",
    "ModelError",
    "OutOfMemory",
    "Piece",
    "QueueFull",
    "RequestError",
    "Stream",
    "TimedOut",
    "TokenStream",
    "Usage",
    "__version__",
]
