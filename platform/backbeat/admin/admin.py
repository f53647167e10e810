"""Where Django's admin looks for our pages."""

from __future__ import annotations

from django.contrib import admin

from backbeat.admin.models import Backfill, Calendar, Dag, DagRun, ImportProblem, Job, Omission, Run
from backbeat.admin.pages.backfills import BackfillAdmin
from backbeat.admin.pages.calendars import CalendarAdmin
from backbeat.admin.pages.dag_runs import DagRunAdmin
from backbeat.admin.pages.dags import DagAdmin
from backbeat.admin.pages.jobs import JobAdmin
from backbeat.admin.pages.omissions import OmissionAdmin
from backbeat.admin.pages.problems import ImportProblemAdmin
from backbeat.admin.pages.runs import RunAdmin

admin.site.register(Job, JobAdmin)
admin.site.register(Calendar, CalendarAdmin)
admin.site.register(Run, RunAdmin)
admin.site.register(DagRun, DagRunAdmin)
admin.site.register(Dag, DagAdmin)
admin.site.register(Backfill, BackfillAdmin)
admin.site.register(Omission, OmissionAdmin)
admin.site.register(ImportProblem, ImportProblemAdmin)
