"""The sandbox and the replicas of `tests/replicas`, for tests of what operators do."""

from tests.replicas import conftest as of_replicas

stage = of_replicas.stage
