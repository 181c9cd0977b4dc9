"""gRPC: the server, and all that turns its messages and metadata into the application's words."""

import os

# The library's core writes lines of its own to standard error, in no form of ours and with what a
# peer sent in them; it reads this once, when it is imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
