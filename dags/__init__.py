"""The graphs of this deployment, one DAG a file: every module in here is loaded by name through `celeryconfig.imports`."""
