"""W3C Trace Context, passed on without a dependency on any tracer."""

import re
from contextvars import ContextVar

current_traceparent: ContextVar[str | None] = ContextVar("user_bridge_traceparent", default=None)
"""The traceparent that calls of this context send, where they are given none of their own."""

# https://www.w3.org/TR/trace-context/: any version but ff, and neither id all zeros.
_traceparent = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]*)?", re.ASCII
)


def trace_metadata(traceparent: str | None) -> tuple[tuple[str, str], ...]:
    """The metadata of a call. One that is not valid is left out, as the standard has it, and fails no call."""
    value = traceparent if traceparent is not None else current_traceparent.get()
    if value is None or _traceparent.fullmatch(value) is None:
        return ()
    return (("traceparent", value),)
