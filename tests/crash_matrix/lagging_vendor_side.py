"""The vendor's side, with lists that lag for what was removed too."""

from collections.abc import Callable
from typing import Any

from service.application.ports import Clock
from service.domain.operation import Operation, OperationKey
from service.domain.provider_call import ProviderAnswer, ProviderRequest
from tests.application.scripted_http import Vendor
from tests.simulation.tokens import Tokens
from tests.simulation.vendor_side import Arrived, VendorSide


class LaggingVendorSide(VendorSide):
    """Shows a step that was removed until the removal is shown."""

    def __init__(
        self, vendor: Vendor, committed: Callable[[OperationKey], Operation | None], clock: Clock
    ) -> None:
        super().__init__(vendor, Tokens(), committed, clock)
        self._gone: dict[str, tuple[float, dict[str, Any]]] = {}
        """What was removed, and until when it is shown."""

    def _apply(self, arrived: Arrived) -> ProviderAnswer:
        before = dict(self.vendor.steps)
        given = super()._apply(arrived)
        for step_id in before.keys() - self.vendor.steps.keys():
            self._gone[step_id] = (arrived.shown_at_seconds, before[step_id])
        return given

    def _read(self, request: ProviderRequest) -> ProviderAnswer:
        now_seconds = self.clock.monotonic_seconds()
        shown = {id_: step for id_, (until, step) in self._gone.items() if until > now_seconds}
        self.vendor.steps.update(shown)
        given = super()._read(request)
        for step_id in shown:
            del self.vendor.steps[step_id]
        return given
