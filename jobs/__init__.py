"""The job functions of this deployment: every module in here is loaded by name through `celeryconfig.imports`."""
