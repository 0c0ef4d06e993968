"""Django's admin over the payments of our own database: as it is shipped, and tuned as its documentation advises.

`python -m benchmarks.peers.django_admin` makes Django's own tables and an operator; with the word `own`, a table of the
same payments as Django's migrations would make it, with no index that nobody has asked for.
"""

import os
import sys
from urllib.parse import urlsplit

import django
from django.conf import settings

URL = urlsplit(os.environ["BENCH_DATABASE"])
DATABASE = (
    {"ENGINE": "django.db.backends.sqlite3", "NAME": URL.path[1:] if URL.path.startswith("//") else URL.path}
    if URL.scheme == "sqlite"
    else {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": URL.path[1:],
        "HOST": URL.hostname,
        "PORT": URL.port,
        "USER": URL.username,
        "CONN_MAX_AGE": 600,
    }
)
settings.configure(
    SECRET_KEY="only for benchmarks",
    DEBUG=False,
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    TIME_ZONE="Asia/Seoul",
    LANGUAGE_CODE="ko",
    STATIC_URL="/static/",
    DATABASES={"default": DATABASE},
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    INSTALLED_APPS=[
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.messages",
        "django.contrib.staticfiles",
        "benchmarks.peers",
    ],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.gzip.GZipMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ],
)
django.setup()

from django.contrib import admin  # noqa: E402  Django wants its settings first
from django.core.paginator import Paginator  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import connection, models  # noqa: E402
from django.urls import path  # noqa: E402


class Fields(models.Model):
    order_id = models.CharField(max_length=32)
    gateway = models.CharField(max_length=20)
    payment_method = models.CharField(max_length=20)
    amount = models.IntegerField()
    paid_amount = models.IntegerField()
    refunded_amount = models.IntegerField()
    status = models.CharField(max_length=12, choices=[(word, word) for word in ("completed", "failed", "refunded")])
    buyer_name = models.CharField(max_length=50)
    buyer_email = models.CharField(max_length=254)
    item_name = models.CharField(max_length=100)
    created_at = models.DateTimeField()

    class Meta:
        abstract = True


class Payment(Fields):
    """Our own table, with the indexes that it has."""

    class Meta:
        app_label = "peers"
        managed = False
        db_table = "payment"


class OwnPayment(Fields):
    order_id = models.CharField(max_length=32, unique=True)

    class Meta:
        app_label = "peers"
        managed = False
        db_table = "own_payment"


def fill_own() -> None:
    names = ", ".join(field.column for field in OwnPayment._meta.fields)
    with connection.schema_editor() as editor:
        editor.create_model(OwnPayment)
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO own_payment ({names}) SELECT {names} FROM payment")
        cursor.execute("ANALYZE own_payment")


class Shipped(admin.ModelAdmin):
    list_display = (
        *("created_at", "status", "item_name", "buyer_name", "buyer_email"),
        *("payment_method", "refunded_amount", "amount", "order_id"),
    )
    list_filter = ("status", "payment_method")
    search_fields = ("order_id", "buyer_name", "buyer_email")
    ordering = ("-created_at",)
    list_per_page = 50


class Uncounted(Paginator):
    """The usual cure: no COUNT, and pages as far as one likes."""

    count = 2**31


class Tuned(Shipped):
    show_full_result_count = False
    paginator = Uncounted
    ordering = ("-created_at", "-id")  # there is an index of just this
    list_filter = ("status", "payment_method")


def site(name: str, kind: type[admin.ModelAdmin], table: type[Fields] = Payment) -> admin.AdminSite:
    made = admin.AdminSite(name)
    made.register(table, kind)
    return made


urlpatterns = [
    path("shipped/", site("shipped", Shipped).urls),
    path("tuned/", site("tuned", Tuned).urls),
    path("own/", site("own", Shipped, OwnPayment).urls),
]
app = get_wsgi_application()

if __name__ == "__main__":
    from django.contrib.auth import get_user_model
    from django.core.management import call_command

    if "own" in sys.argv:
        fill_own()
    else:
        call_command("migrate", verbosity=0)
        get_user_model().objects.create_superuser("operator", "operator@example.com", "operator-bench-pass")
