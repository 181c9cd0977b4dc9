"""A `Clock` that stands still until a test moves it."""

EPOCH_SECONDS = 1_800_000_000.0


class ManualClock:
    """Starts at a fixed time of day."""

    def __init__(self) -> None:
        self.passed_seconds = 0.0

    def monotonic_seconds(self) -> float:
        return 500.0 + self.passed_seconds

    def boot_seconds(self) -> float:
        return 900.0 + self.passed_seconds

    def epoch_seconds(self) -> float:
        return EPOCH_SECONDS + self.passed_seconds

    async def sleep(self, seconds: float) -> None:
        self.passed_seconds += seconds
