"""For joblib's own tests: in each process that they start, workers included, the backend is there."""

import atonce.integrations.joblib  # noqa: F401
