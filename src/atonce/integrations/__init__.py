"""atonce within other people's libraries, each module on import: `atonce.integrations.joblib`."""
