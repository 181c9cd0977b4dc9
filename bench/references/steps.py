"""The steps that are compared: at each provider one of a single write, and one with a message.

The message comes from the provider's own template. Outreach links it and Apollo gets a copy of it,
each by a second write. Salesloft has one write for everything, with two reads more.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.references.calls import DAY_SECONDS
from engagement.v1 import sequence_step_pb2 as step_pb2
from engagement.v1 import sequence_step_service_pb2 as service_pb2

CUSTOMER = "bench"
NOTE = "Ask whether the budget of the next quarter is decided, and by whom. " * 3

_TEMPLATE_IDS = {"outreach": "55", "salesloft": "55", "apollo": f"{55:024x}"}


@dataclass(frozen=True)
class Step:
    """A kind of step at a provider."""

    provider: str
    has_message: bool

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.provider.capitalize()}, {'e-mail' if self.has_message else 'call'}"

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Who asks for it, and where."""
        return (("x-customer-id", CUSTOMER), ("x-provider-name", self.provider))

    def request(self, sequence: int, request_id: str) -> service_pb2.CreateSequenceStepRequest:
        """Ask for it in a sequence, which has a number here and an id at the provider."""
        is_apollo = self.provider == "apollo"
        return service_pb2.CreateSequenceStepRequest(
            request_id=request_id,
            sequence_id=f"{sequence:024x}" if is_apollo else str(sequence),
            step=self._email() if self.has_message else self._call(),
        )

    def _email(self) -> step_pb2.SequenceStep:
        template = step_pb2.Template(id=_TEMPLATE_IDS[self.provider])
        return step_pb2.SequenceStep(
            type=step_pb2.STEP_TYPE_AUTO_EMAIL, interval_seconds=DAY_SECONDS, template=template
        )

    def _call(self) -> step_pb2.SequenceStep:
        return step_pb2.SequenceStep(
            type=step_pb2.STEP_TYPE_CALL, interval_seconds=DAY_SECONDS, task_note=NOTE
        )


MAIN = Step("outreach", has_message=True)
"""The one that is looked at most closely."""

STEPS: Sequence[Step] = (
    MAIN,
    *(
        step
        for provider in ("outreach", "salesloft", "apollo")
        for has_message in (False, True)
        if (step := Step(provider, has_message)) != MAIN
    ),
)
