"""Tests of this deployment's own jobs and graphs."""
