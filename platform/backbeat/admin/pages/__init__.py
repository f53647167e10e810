"""The pages of the admin. They show; every change goes through `admin/definitions.py` or `runtime/submit.py`."""
