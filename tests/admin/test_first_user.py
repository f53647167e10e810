"""Whoever starts a deployment gets to know a password that lets him in, however often it was started before."""

from __future__ import annotations

import pytest
from django.test import Client

from backbeat.cli.stack.first_run import USER, _prepared_database

pytestmark = pytest.mark.django_db


def test_each_start_makes_a_new_password_until_somebody_has_logged_in() -> None:
    first, second = _prepared_database(reset_password=False), _prepared_database(reset_password=False)

    assert first
    assert second
    assert not Client().login(username=USER, password=first)
    assert Client().login(username=USER, password=second)
    assert _prepared_database(reset_password=False) is None


def test_a_new_password_can_be_asked_for_at_any_time() -> None:
    known = _prepared_database(reset_password=False)
    Client().login(username=USER, password=known)

    asked_for = _prepared_database(reset_password=True)

    assert Client().login(username=USER, password=asked_for)
