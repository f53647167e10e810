"""The list of modules that could not be imported."""

from __future__ import annotations

from django.contrib import admin
from django.utils.html import format_html
from django.utils.safestring import SafeString

from backbeat.admin.models import ImportProblem
from backbeat.admin.pages.browsing import ReadOnly
from backbeat.admin.pages.moments import when_html


class ImportProblemAdmin(ReadOnly):
    """Each with the place to mend; the row goes when the module loads again."""

    list_display = ["module", "place", "last_line", "seen"]
    fields = ["module", "place", "traceback", "seen"]
    readonly_fields = ["place", "traceback", "seen"]

    @admin.display(description="place")
    def place(self, problem: ImportProblem) -> SafeString:
        """File and line."""
        return format_html("<code>{}:{}</code>", problem.file, problem.line or 1)

    @admin.display(description="error")
    def last_line(self, problem: ImportProblem) -> str:
        """What Python said in the end."""
        return (problem.error.strip().splitlines() or [""])[-1]

    @admin.display(description="error")
    def traceback(self, problem: ImportProblem) -> SafeString:
        """All that Python said."""
        return format_html('<pre class="bb-pre">{}</pre>', problem.error)

    @admin.display(description="seen", ordering="seen_at")
    def seen(self, problem: ImportProblem) -> SafeString:
        """When it was last tried."""
        return when_html(problem.seen_at)
