"""Django's settings. Everything that differs between testbeds comes from `vct.controller.config`.

Run as DJANGO_SETTINGS_MODULE=vct.controller.settings with VCT_CONTROLLER_CONFIG naming the
testbed's file. Whoever adds an application adds a line here and one in `urls`.
"""

from __future__ import annotations

from typing import Any

from vct.controller import config

CONFIG = config.load()

SECRET_KEY = CONFIG.secret_key
DEBUG = CONFIG.debug
ALLOWED_HOSTS = list(CONFIG.hosts)
CSRF_TRUSTED_ORIGINS = list(CONFIG.origins)
DATABASES = {"default": config.database(CONFIG)}

INSTALLED_APPS = [
    "vct.controller.users",
    "vct.controller.nodes",
    "vct.controller.mgmt",
    "vct.controller.files",
    "vct.controller.slices",
    "vct.controller.state",
    "vct.controller.firmware",
    "vct.controller.pki",
    "vct.controller.audit",
    "vct.controller.lifecycle",
    "vct.controller.topology",
    "vct.controller.web",
    "vct.controller.web.apps.SiteConfig",  # django.contrib.admin with our site
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
]

MIDDLEWARE = [
    "vct.controller.web.headers.SecurityPolicyMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "vct.controller.middleware.DatabaseGoneMiddleware",
]

ROOT_URLCONF = "vct.controller.urls"
WSGI_APPLICATION = "vct.controller.wsgi.application"
APPEND_SLASH = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

AUTH_USER_MODEL = "users.User"
AUTHENTICATION_BACKENDS = ["vct.controller.users.authentication.NameOrEmailBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 10},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "admin:login"

LANGUAGE_CODE = "en"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "/static/"
STATIC_ROOT = CONFIG.static
WHITENOISE_USE_FINDERS = True  # what the packages have is served, collected or not
MEDIA_URL = "/media/"
MEDIA_ROOT = CONFIG.media
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}
FILE_UPLOAD_PERMISSIONS = 0o644
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * config.MIB  # JSON and forms; files are streamed to disk

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "vct.controller.rest.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["vct.controller.rest.authentication.LoggedInToWrite"],
    "DEFAULT_PARSER_CLASSES": ["vct.controller.rest.parsers.JsonParser"],
    "DEFAULT_RENDERER_CLASSES": [
        "rest_framework.renderers.JSONRenderer",
        "vct.controller.rest.negotiation.Pages",
    ],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "vct.controller.rest.negotiation.Negotiation",
    "DEFAULT_PAGINATION_CLASS": "vct.controller.rest.paging.LinkPages",
    "DEFAULT_FILTER_BACKENDS": ["vct.controller.rest.filters.Pointers"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_METADATA_CLASS": None,  # OPTIONS says nothing: the OpenAPI document does
    "EXCEPTION_HANDLER": "vct.controller.rest.problems.handler",
    "NON_FIELD_ERRORS_KEY": "non_field_errors",
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "CONFINE controller",
    "DESCRIPTION": "The registry of a testbed: follow the link relations from /api/.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "POSTPROCESSING_HOOKS": ["vct.controller.rest.schema.with_refusals"],
}

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = CONFIG.https_only
if CONFIG.tls:  # what came to that port came through TLS; no client can say so (lifecycle.service)
    SECURE_PROXY_SSL_HEADER = ("PROXY_PORT", "443")
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "vct.controller.logs.JsonFormatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        "httpx": {"level": "WARNING"},  # a line for each poll of each node
    },
}
