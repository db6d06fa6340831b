"""Settings: the environment, read once, here and nowhere else.

Development works with nothing set. `MYELIN_ENV=production` refuses to start with a missing key, DEBUG or a weak secret (`registry.environment`).
Every name is explained in `docs/reference/settings.md`, and a test holds that.
"""

from __future__ import annotations

import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from registry import environment as env

ROOT = Path(__file__).resolve().parent.parent
_E = dict(os.environ)


try:
    PRODUCTION = _E.get("MYELIN_ENV", "development") == "production"
    DEBUG = env.flag(_E, "MYELIN_DEBUG", default=not PRODUCTION)
    SECRET_KEY = _E.get("MYELIN_SECRET_KEY", "" if PRODUCTION else "development only: anybody can read this key in the repository")
    ALLOWED_HOSTS = env.words(_E, "MYELIN_HOSTS", "" if PRODUCTION else "localhost,127.0.0.1,[::1],testserver")
    if PRODUCTION:
        env.refuse_unsafe_production(_E, debug=DEBUG, secret=SECRET_KEY, hosts=ALLOWED_HOSTS)

    # Zones: who may write where is the business of the processes (DESIGN.md, "Zones, processes and keys").
    MYELIN_HOME = Path(_E.get("MYELIN_HOME") or ROOT / "var").resolve()
    if not PRODUCTION:
        MYELIN_HOME.mkdir(mode=0o700, parents=True, exist_ok=True)  # development works with nothing set and nothing made
    MYELIN_KEYS = Path(_E.get("MYELIN_KEYS") or MYELIN_HOME / "keys").resolve()
    MYELIN_ANCHOR = Path(_E.get("MYELIN_ANCHOR") or MYELIN_HOME / "anchor").resolve()
    MYELIN_URL = _E.get("MYELIN_URL", "http://127.0.0.1:8000").rstrip("/")
    MYELIN_ZONES = {name: MYELIN_HOME / name for name in ("quarantine", "review", "store", "outbox", "papers", "spool", "mail")}

    DATABASES = {
        "default": env.database(_E.get("DATABASE_URL", ""), MYELIN_HOME / "registry.sqlite3", "DATABASE_URL"),
        "vault": env.database(_E.get("VAULT_URL", ""), MYELIN_HOME / "vault.sqlite3", "VAULT_URL"),
        "cache": env.sqlite(MYELIN_HOME / "cache.sqlite3"),
    }
    CACHES = {"default": env.cache(_E.get("CACHE_URL", ""))}
    MYELIN_OIDC = env.oidc(_E)
    MYELIN_MAIL = env.email(_E.get("EMAIL_URL", ""), MYELIN_ZONES["mail"])
    DEFAULT_FROM_EMAIL = _E.get("MYELIN_MAIL_FROM", "myelin@localhost")

    MYELIN_LEASE_S = env.number(_E, "MYELIN_LEASE_S", 30, least=2)
    MYELIN_MAX_ATTEMPTS = env.number(_E, "MYELIN_MAX_ATTEMPTS", 3)
    MYELIN_RUN_LIMIT_S = env.number(_E, "MYELIN_RUN_LIMIT_S", 6 * 3600)
    MYELIN_RETENTION_DAYS = env.number(_E, "MYELIN_RETENTION_DAYS", 30)
    MYELIN_DEVICE = _E.get("MYELIN_DEVICE", "cpu")
    MYELIN_JOBS = env.number(_E, "MYELIN_JOBS", 1)
    MYELIN_MAX_UPLOAD_MB = env.number(_E, "MYELIN_MAX_UPLOAD_MB", 51_200)
    MYELIN_ADMIN = env.flag(_E, "MYELIN_ADMIN")
    MYELIN_SITE_QUOTA_MB = env.number(_E, "MYELIN_SITE_QUOTA_MB", 0, least=0)
    MYELIN_PIECE_DAYS = env.number(_E, "MYELIN_PIECE_DAYS", 7)
except env.Misconfigured as wrong:
    raise ImproperlyConfigured(str(wrong)) from None

globals().update(MYELIN_MAIL)  # EMAIL_BACKEND and its kin

# No database is given ATOMIC_REQUESTS: an act opens its own transaction and writes its audit line last; a denial's line is written after the roll-back.
# The cache keeps out of the registry's own file: a counter must not wait for a long act. On PostgreSQL both are one database.
if DATABASES["default"]["ENGINE"].endswith("postgresql"):
    del DATABASES["cache"]
DATABASE_ROUTERS = ["registry.router.Router"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_filters",
    "django_tasks",
    "django_tasks_db",
    "registry",
    "registry.accounts",
    "registry.runs",
    "registry.audit",
    "registry.subjects",
    "registry.consent",
    "registry.access",
    *(f"registry.{app}" for app in ("imaging", "clinical", "counts", "intake", "releases", "api", "portal")),
    "django.forms",  # after the portal, whose templates of forms come first
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "registry.portal.headers.ContentSecurityPolicy",  # before the static files: a worker's script is bound by its own answer's policy
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "registry.api.recording.OneLine",  # outside whatever may deny
    "django.contrib.sessions.middleware.SessionMiddleware",
    "registry.portal.language.PagesLanguage",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "registry.portal.operators.ClosedByDefault",
    "registry.portal.account.guard.SecondFactor",
    "allauth.account.middleware.AccountMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "registry.urls"
WSGI_APPLICATION = "registry.wsgi.application"
TEMPLATES = [
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
]

AUTH_USER_MODEL = "accounts.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}", "OPTIONS": options}
    for name, options in (
        ("UserAttributeSimilarityValidator", {}),
        ("MinimumLengthValidator", {"min_length": 12}),
        ("CommonPasswordValidator", {}),
        ("NumericPasswordValidator", {}),
    )
]
LOGIN_URL = "/sign-in"
PASSWORD_RESET_TIMEOUT = 2 * 3600
# Of allauth we take the rows and what is between us and a provider; none of its addresses is mounted (`registry.accounts.factors`, `.provider`).
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_ADAPTER = "registry.accounts.factors.Adapter"
SOCIALACCOUNT_PROVIDERS = env.providers(MYELIN_OIDC)

LANGUAGE_CODE = "en-gb"  # whose dates nobody takes for another day
LANGUAGES = [("en-gb", "English"), ("de", "Deutsch")]
LOCALE_PATHS = [ROOT / "registry/portal/locale"]
USE_I18N = True
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"  # templates/django/forms of the portal
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "/static/"
STATIC_ROOT = MYELIN_HOME / "static"
# Development serves static files from where they lie; production from where `manage.py collectstatic` put them.
WHITENOISE_AUTOREFRESH = WHITENOISE_USE_FINDERS = not PRODUCTION

DATA_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024 * 1024
FILE_UPLOAD_HANDLERS = ["registry.portal.uploading.InMemory"]
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 12 * 3600
LANGUAGE_COOKIE_AGE = 365 * 24 * 3600
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_SECURE = PRODUCTION
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = PRODUCTION
SECURE_HSTS_SECONDS = 31_536_000 if PRODUCTION else 0
BEHIND_PROXY = env.flag(_E, "MYELIN_BEHIND_PROXY")
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_PROXY else None

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["registry.accounts.authentication.BearerToken", "rest_framework.authentication.SessionAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_THROTTLE_CLASSES": ["registry.accounts.throttles.PerUser", "registry.accounts.throttles.PerAddress"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.LimitOffsetPagination",
    "PAGE_SIZE": 100,
    # Who asks is told by the one proxy in front, or by the connection itself; what a client says of its own address counts for nothing.
    "NUM_PROXIES": 1 if BEHIND_PROXY else 0,
    # The roof brings a parser that answers 400 to deeply nested JSON, and turns rules.Denied and rules.Invalid into answers.
    **({"DEFAULT_PARSER_CLASSES": ["registry.api.parsers.CarefulJSON"]} if (ROOT / "registry/api/parsers.py").is_file() else {}),
    **({"EXCEPTION_HANDLER": "registry.api.errors.handler"} if (ROOT / "registry/api/errors.py").is_file() else {}),
}
MYELIN_LIMITS = {
    "user": (600, 60),
    "address": (60, 60),
    "login": (5, 300),
    "login-account": (100, 3600),
    "code": (30, 86_400),
    "letters": (30, 86_400),
}  # (questions, per seconds)
SPECTACULAR_SETTINGS = {
    "TITLE": "Myelin",
    "DESCRIPTION": "An MRI data-sharing registry that enforces consent.",
    "VERSION": "0.1.0",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend", "QUEUES": ["default", "gpu"]}}

# The ledger lies below the rooms whose work it runs, so they are named here (below `registry.`), not imported there
# (docs/explanation/architecture.md, "Runs").
MYELIN_RUN_KINDS = {
    # With a carrier: an order goes to the spool, an outcome comes back.
    "sort": {"order": "intake.actions.order_sort", "record": "intake.actions.record_sort", "dead": "intake.actions.sort_died"},
    "study": {
        "order": "intake.actions.order_study",
        "publish": "intake.actions.publish_study",
        "record": "intake.actions.record_study",
        "dead": "intake.actions.study_died",
    },
    # Without one: the runner does the work itself.
    **{
        kind: {"work": f"releases.actions.work_{kind}", "record": f"releases.actions.record_{kind}", "dead": f"releases.actions.{kind}_died"}
        for kind in ("freeze", "validate", "package", "withdraw")
    },
}
# What is due from time to time: (name, function, every so many seconds). An absent room has nothing due.
MYELIN_TICK = [
    ("reconcile", "runs.actions.reconcile", 5),
    ("counters", "accounts.limits.forget_old", 3600),
    ("sessions", "accounts.sessions.forget_old", 86_400),
    ("prune", "runs.actions.prune", 3600),
    ("spool", "runs.spool.sweep", 3600),
    ("mail", "runs.mail.send_due", 5),
    ("vault", "subjects.actions.finish_forgetting", 600),
    ("consents", "consent.actions.end_by_time", 600),
    ("expiries", "access.actions.expire", 600),
    ("counts", "counts.actions.tick", 60),
    ("published", "counts.publishing.tick", 60),
    ("intake", "intake.actions.tick", 60),
    ("releases", "releases.actions.tick", 60),
]

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": _E.get("MYELIN_LOG", "WARNING")},
}
