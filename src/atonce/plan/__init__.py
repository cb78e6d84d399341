"""From a function, a machine and options to a plan: look (`function`, `machine`), decide (`advice`, pure), print (`plan`)."""
