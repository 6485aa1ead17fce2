"""One thread for every test: the networks are so small that threads waiting for each other cost more than they do."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
