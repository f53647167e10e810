"""Names of jobs, made from commands."""

from __future__ import annotations

import re

import pytest

from backbeat.core.crontab_names import LONGEST, name_of


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("/usr/local/bin/backup-db.sh", "backup-db"),
        ("/usr/local/bin/backup_db.py --full >> /var/log/x 2>&1", "backup-db"),
        ("cd /srv/app && ./manage.py clearsessions", "manage-clearsessions"),
        ("cd /srv/app; RAILS_ENV=production bin/rake db:vacuum", "rake-db-vacuum"),
        ("sudo -u www-data php -f /var/www/cloud/occ.php", "occ"),
        ("flock -n /tmp/lock nice -n 19 python3 -m app.tasks sync", "app-tasks-sync"),
        ("timeout 5m /opt/report", "report"),
        ("bash -lc 'cd /x && ./nightly.sh full'", "nightly-full"),
        ("cd / && run-parts --report /etc/cron.hourly", "run-parts-hourly"),
        ("test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }", "run-parts-daily"),
        ("test -x /usr/bin/certbot && perl -e 'sleep int(rand(43200))' && certbot renew -q", "certbot-renew"),
        ("[ -x /a ] && if [ ! -d /run/systemd/system ]; then /usr/lib/php/sessionclean; fi", "sessionclean"),
        ("curl -fsS https://user:secret@ping.example.org/0f2c-secret", "curl-ping-example-org"),
        ("command -v debian-sa1 > /dev/null && debian-sa1 1 1", "debian-sa1"),
        ("git pull", "git-pull"),
        ("echo hello", "echo-hello"),
        ('FOO="a b" /opt/run --with x', "run"),
        ("test $(date +%u) -eq 1 && /opt/monday", "monday"),
        ("/usr/bin/flock -n /tmp/l -c 'nice /opt/long'", "long"),
        ("su - postgres -c 'pg_dumpall > /x'", "pg-dumpall"),
        ("runuser -u app -- /opt/app/tick", "tick"),
        ("备份", "command"),
        ("", "command"),
        ("'never closed", "never"),
        ("| | ; ; &&", "command"),
    ],
)
def test_a_command_gets_a_name_that_a_person_would_give(command: str, name: str) -> None:
    assert name_of(command) == name


@pytest.mark.parametrize("command", ["x" * 5000, "a-" * 500, '"' * 100_000, "(" * 100_000, "bash -c " * 2000, "nice " * 2000])
@pytest.mark.timeout(5)
def test_a_name_is_short_whatever_the_command_is(command: str) -> None:
    name = name_of(command)

    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name)
    assert len(name) <= LONGEST
