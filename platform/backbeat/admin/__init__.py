"""The Django app: definitions and history as tables, and the pages over them. Its label is `backbeat`."""
