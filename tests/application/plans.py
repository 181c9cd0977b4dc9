"""The kinds of plan that there are, each with a step that brings it about."""

from dataclasses import dataclass

from service.domain.provider_call import AnswerLost, NotSent
from service.domain.step import ProviderName, SequenceStep, StepType, TemplateContent
from tests.application.apollo_model import ApolloModel
from tests.application.outreach_model import OutreachModel
from tests.application.salesloft_model import SalesloftModel

OUTREACH, SALESLOFT, APOLLO = (
    ProviderName("outreach"),
    ProviderName("salesloft"),
    ProviderName("apollo"),
)

LOST = AnswerLost("the connection broke")
NOT_SENT = NotSent("connection refused")

LIST_OF_STEPS = {
    OUTREACH: "GET /sequenceSteps",
    SALESLOFT: "GET /steps",
    APOLLO: "GET /emailer_campaigns",
}

CONTENT = TemplateContent("Hello", "<p>Hi</p>", name="Intro")


@dataclass(frozen=True, slots=True)
class PlanKind:
    """One plan: the writes that a step brings about, by what each makes."""

    name: str
    provider: ProviderName
    step: SequenceStep
    writes: dict[str, str]
    """Resource by kind of write: `template`, `step`, `link` or `message`, in order."""

    messages: int
    """How many messages the step has when it is whole."""

    step_with_id: bool = True
    """Whether the answer to the step's write says its id."""


def _email(template_id: str = "", content: TemplateContent | None = None) -> SequenceStep:
    return SequenceStep(
        StepType.AUTO_EMAIL,
        interval_seconds=86_400,
        template_id=template_id,
        template_content=content,
    )


CALL = SequenceStep(StepType.CALL, interval_seconds=86_400, task_note="Ask for the budget")

OUTREACH_CALL = PlanKind("outreach call", OUTREACH, CALL, {"step": "POST /sequenceSteps"}, 0)
OUTREACH_LINK = PlanKind(
    "outreach e-mail with a template",
    OUTREACH,
    _email(OutreachModel.template_id),
    {"step": "POST /sequenceSteps", "link": "POST /sequenceTemplates"},
    1,
)
OUTREACH_CONTENT = PlanKind(
    "outreach e-mail with content",
    OUTREACH,
    _email(content=CONTENT),
    {
        "template": "POST /templates",
        "step": "POST /sequenceSteps",
        "link": "POST /sequenceTemplates",
    },
    1,
)
APOLLO_CALL = PlanKind("apollo call", APOLLO, CALL, {"step": "POST /emailer_steps"}, 0)
APOLLO_MESSAGE = PlanKind(
    "apollo e-mail",
    APOLLO,
    _email(ApolloModel.template_id),
    {"step": "POST /emailer_steps", "message": "PUT /emailer_touches"},
    1,
)
SALESLOFT_CALL = PlanKind(
    "salesloft call",
    SALESLOFT,
    CALL,
    {"step": "POST /cadence_imports"},
    0,
    step_with_id=False,
)
SALESLOFT_EMAIL = PlanKind(
    "salesloft e-mail",
    SALESLOFT,
    _email(SalesloftModel.template_id),
    {"step": "POST /cadence_imports"},
    1,
    step_with_id=False,
)

ALL = (
    OUTREACH_CALL,
    OUTREACH_LINK,
    OUTREACH_CONTENT,
    APOLLO_CALL,
    APOLLO_MESSAGE,
    SALESLOFT_CALL,
    SALESLOFT_EMAIL,
)
