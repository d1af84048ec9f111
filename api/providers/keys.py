"""What can be a credential of a provider, checked before it is sealed (PROVIDERS.md 1.7).

Nothing here, and no message, ever shows a part of the secret; `key_suffix` is the one exception.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from domain.errors import BadValue

KEY_CHARS_MIN: Final = 8
KEY_CHARS_MAX: Final = 4096
SUFFIX_CHARS: Final = 4

Fields = dict[str, str]
Check = Callable[[Mapping[str, Any], Collection[str]], Fields]
"""(the JSON object, hosts that the operator named) → its fields, or BadValue."""

_UNMISTAKABLE: Final = (
    (re.compile(r"sk-ant-"), "anthropic"),
    (re.compile(r"sk-or-v1-"), "openrouter"),
    (re.compile(r"cpk_[0-9a-f]{32}\.[0-9a-f]{32}\.[A-Za-z0-9]{32}$"), "chutes"),
    (re.compile(r"gsk_"), "groq"),
    (re.compile(r"nvapi-"), "nvidia"),
    (re.compile(r"csk-"), "cerebras"),
    (re.compile(r"vck_"), "vercel"),
    (re.compile(r"fw_"), "fireworks"),
    (re.compile(r"tgp_v1_"), "together"),
    (re.compile(r"AQ\.|AIza"), "google"),
    (re.compile(r"ABSK|bedrock-api-key-"), "aws"),
    (re.compile(r"sk-.{6}\."), "morpheus"),
)
"""In this order: the first pattern that fits at the start names the key's home."""

_REFUSED: Final = (
    (re.compile(r"sk-admin-|sk-ant-admin"), "is an admin key, which cannot run models"),
    (re.compile(r"sk-ant-oat"), "belongs to a subscription and must not be used by other programs"),
)
_OURS: Final = ((re.compile(r"kt_"), "is a key of keytoll itself, not of a provider"),)
"""Pasted into the wrong field; even the sandbox, which takes any key, must not keep one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyField:
    """One field of a credential's JSON object."""

    name: str
    label: str
    example: str
    """Stands in the JSON that is shown, and in the empty input."""
    secret: bool = False
    required: bool = True
    choices: Sequence[str] = ()
    """The only values; empty: any text."""
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyForm:
    """One way to give a credential. A provider may take several."""

    name: str
    title: str
    fields: tuple[KeyField, ...]

    @property
    def example(self) -> str:
        """The JSON of this form, to be filled in; without the fields that may be left out."""
        shown = {field.name: field.example for field in self.fields if field.required}
        return json.dumps(shown, indent=2, ensure_ascii=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFormat:
    """What a provider's credential looks like."""

    prefixes: tuple[str, ...] = ()
    """Usual beginnings of a plain key; another one is accepted with a warning."""
    plain: bool = True
    """A plain key is accepted."""
    fields: Check | None = None
    """Checks a credential that is a JSON object."""
    suffix_of: tuple[str, ...] = ("apiKey",)
    """The first of these fields that is present gives the public suffix."""
    any_key: bool = False
    """Nothing but a usable header value is asked of a plain key."""
    forms: tuple[KeyForm, ...] = ()
    """How a person is asked for a JSON object; empty: for one plain key."""


def parse(slug: str, form: KeyFormat, key: object, *, named_hosts: Collection[str] = ()) -> Fields:
    """The fields of a credential as given by its owner. Raises BadValue naming the wrong field."""
    if isinstance(key, str):
        given = _object_in(key) if form.fields is not None else None
        if given is None:
            if not form.plain:
                raise BadValue(f"a credential of {slug} is a JSON object", param="key")
            return {"apiKey": _plain(slug, form, key, "key")}
        key = given
    if not isinstance(key, Mapping):
        raise BadValue("key must be a string or an object", param="key")
    if form.fields is None:
        if set(key) != {"apiKey"}:
            raise BadValue(f"a credential of {slug} is a plain key", param="key")
        return {"apiKey": _plain(slug, form, key["apiKey"], "key.apiKey")}
    return form.fields(key, named_hosts)


def suffix(form: KeyFormat, fields: Mapping[str, str]) -> str:
    """The last four characters of what its owner knows the credential by."""
    for name in form.suffix_of:
        if fields.get(name):
            # A key so short that four characters give it away shows none.
            known = fields[name]
            return known[-SUFFIX_CHARS:] if len(known) >= KEY_CHARS_MIN else "*" * SUFFIX_CHARS
    return "*" * SUFFIX_CHARS


def unusual(form: KeyFormat, fields: Mapping[str, str]) -> str | None:
    """A warning for a key that does not begin as this provider's keys do; else None."""
    key = fields.get("apiKey", "")
    if not form.prefixes or key.startswith(form.prefixes):
        return None
    return "the key does not begin as this provider's keys usually do"


def aws_fields(key: Mapping[str, Any], named_hosts: Collection[str]) -> Fields:
    """Access keys or a Bedrock API key, with a region; `models` says what the owner's ARNs are."""
    access_key = ("accessKeyId", "secretAccessKey", "sessionToken")
    _only(
        key,
        ("apiKey", "region", "models") if "apiKey" in key else (*access_key, "region", "models"),
    )
    region = _field(key, "region")
    if region not in AWS_REGIONS:
        raise BadValue("key.region is not a region of AWS", param="key.region")
    found = {"region": region, **_names(key, "models", _ARN)}
    if "apiKey" in key:
        return {"apiKey": _secret(key, "apiKey"), **found}
    access = _field(key, "accessKeyId")
    if not re.fullmatch(r"[A-Z0-9]{16,128}", access):
        raise BadValue("key.accessKeyId is not an access key id", param="key.accessKeyId")
    found |= {
        "accessKeyId": access,
        "secretAccessKey": _secret(key, "secretAccessKey", chars_min=16),
    }
    if key.get("sessionToken") is not None:
        found["sessionToken"] = _secret(key, "sessionToken", chars_min=16)
    elif access.startswith("ASIA"):
        raise BadValue("a temporary access key needs key.sessionToken", param="key.sessionToken")
    return found


def azure_fields(key: Mapping[str, Any], named_hosts: Collection[str]) -> Fields:
    """A deployment behind a resource's endpoint; the rest of a pasted URL fills empty fields."""
    _only(key, ("endpoint", "apiKey", "deploymentName", "apiVersion", "deployments"))
    found, pasted = _azure(key, named_hosts)
    deployment = _optional(key, "deploymentName") or pasted.get("deploymentName")
    if not deployment or not _DEPLOYMENT.fullmatch(deployment):
        raise BadValue("key.deploymentName is not a name", param="key.deploymentName")
    return {**found, "deploymentName": deployment, **_names(key, "deployments", _DEPLOYMENT)}


def azure_responses_fields(key: Mapping[str, Any], named_hosts: Collection[str]) -> Fields:
    """A resource's endpoint; a call's model picks the deployment, by its name or what it serves."""
    _only(key, ("endpoint", "apiKey", "apiVersion", "deployments"))
    return {**_azure(key, named_hosts)[0], **_names(key, "deployments", _DEPLOYMENT)}


AZURE_HOSTS: Final = (
    "*.openai.azure.com",
    "*.services.ai.azure.com",
    "*.cognitiveservices.azure.com",
    "*.openai.azure.us",
    "*.cognitiveservices.azure.us",
)

AWS_REGIONS: Final = frozenset(
    {
        *("us-east-1", "us-east-2", "us-west-1", "us-west-2", "us-gov-east-1", "us-gov-west-1"),
        *("ca-central-1", "ca-west-1", "mx-central-1", "sa-east-1"),
        *("eu-central-1", "eu-central-2", "eu-north-1", "eu-south-1", "eu-south-2"),
        *("eu-west-1", "eu-west-2", "eu-west-3", "eusc-de-east-1"),
        *("af-south-1", "il-central-1", "me-central-1", "me-south-1"),
        *("ap-east-1", "ap-east-2", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3"),
        *("ap-south-1", "ap-south-2", "ap-southeast-1", "ap-southeast-2", "ap-southeast-3"),
        *("ap-southeast-4", "ap-southeast-5", "ap-southeast-6", "ap-southeast-7"),
        *("cn-north-1", "cn-northwest-1"),
    }
)


def aws_host(service: str, region: str) -> str:
    """The host of a service of Amazon's in a region."""
    return f"{service}.{region}.{_aws_suffix(region)}"


def aws_hosts() -> tuple[str, ...]:
    """The hosts of Bedrock and of its key check, one of each per region."""
    return tuple(
        aws_host(service, region)
        for region in sorted(AWS_REGIONS)
        for service in ("bedrock-runtime", "bedrock", "sts")
    )


def _aws_suffix(region: str) -> str:
    if region.startswith("cn-"):
        return "amazonaws.com.cn"
    return "amazonaws.eu" if region.startswith("eusc-") else "amazonaws.com"


_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
_ARN: Final = re.compile(r"arn:[a-z0-9-]+:(?:bedrock|sagemaker):[A-Za-z0-9_.:/-]{1,2000}")
_DEPLOYMENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VERSION: Final = re.compile(r"\d{4}-\d{2}-\d{2}(?:-preview)?|v1|preview|latest")
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
_NAMES_MAX: Final = 200


def _plain(slug: str, form: KeyFormat, key: object, param: str) -> str:
    text = _usable(key, param, chars_min=1 if form.any_key else KEY_CHARS_MIN)
    refused = _OURS if form.any_key else (*_REFUSED, *_OURS)
    for pattern, why in refused:
        if pattern.match(text):
            raise BadValue(f"the key {why}", param=param)
    if form.any_key:
        return text
    for pattern, home in _UNMISTAKABLE:
        if pattern.match(text):
            if home != slug:
                raise BadValue(f"this is a key of {home}, not of {slug}", param=param)
            break
    return text


def _usable(value: object, param: str, *, chars_min: int) -> str:
    """Text that can stand in a header."""
    if not isinstance(value, str):
        raise BadValue(f"{param} must be a string", param=param)
    if not chars_min <= len(value) <= KEY_CHARS_MAX:
        raise BadValue(f"{param} is too short or too long to be a key", param=param)
    if not value.isascii() or not value.isprintable() or " " in value:
        raise BadValue(f"{param} holds characters that no key has", param=param)
    return value


def _object_in(text: str) -> Mapping[str, Any] | None:
    if not text.lstrip().startswith("{"):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise BadValue("key begins like JSON, but is not", param="key") from None
    return found if isinstance(found, dict) else None


def _only(key: Mapping[str, Any], allowed: Collection[str]) -> None:
    for name in key:
        if name not in allowed:
            # A name of a strange form could be a secret in the wrong place: it is not repeated.
            param = f"key.{name}" if _NAME.fullmatch(str(name)) and len(name) <= 24 else "key"
            raise BadValue(f"{param} is not a field of this credential", param=param)


def _field(key: Mapping[str, Any], name: str) -> str:
    value = _optional(key, name)
    if not value:
        raise BadValue(f"key.{name} is missing", param=f"key.{name}")
    return value


def _optional(key: Mapping[str, Any], name: str) -> str | None:
    value = key.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > KEY_CHARS_MAX:
        raise BadValue(f"key.{name} must be a string", param=f"key.{name}")
    return value


def _secret(key: Mapping[str, Any], name: str, *, chars_min: int = KEY_CHARS_MIN) -> str:
    return _usable(_field(key, name), f"key.{name}", chars_min=chars_min)


def _azure(key: Mapping[str, Any], named_hosts: Collection[str]) -> tuple[Fields, Fields]:
    endpoint, pasted = _endpoint(_field(key, "endpoint"), named_hosts)
    version = _optional(key, "apiVersion") or pasted.get("apiVersion")
    if not version:
        raise BadValue("key.apiVersion is missing", param="key.apiVersion")
    if not _VERSION.fullmatch(version):
        raise BadValue("key.apiVersion is not a version", param="key.apiVersion")
    found = {"endpoint": endpoint, "apiKey": _secret(key, "apiKey"), "apiVersion": version}
    return found, pasted


def _endpoint(text: str, named_hosts: Collection[str]) -> tuple[str, Fields]:
    """Scheme and host of an Azure resource, and what else a pasted URL tells (PROVIDERS.md 6.4)."""
    wrong = BadValue("key.endpoint is not an endpoint of Azure", param="key.endpoint")
    try:
        parts = urlsplit(text)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        raise wrong from None
    if "@" in parts.netloc or "\\" in text or not text.isascii() or not text.isprintable():
        raise wrong
    if host in named_hosts and parts.scheme in ("http", "https"):
        return f"{parts.scheme}://{parts.netloc.lower()}", _pasted(parts.path, parts.query)
    if parts.scheme != "https" or port not in (None, 443) or "privatelink" in host:
        raise wrong
    label, _, rest = host.partition(".")
    if f"*.{rest}" not in AZURE_HOSTS or not _LABEL.fullmatch(label):
        raise wrong
    return f"https://{host}", _pasted(parts.path, parts.query)


def _pasted(path: str, query: str) -> Fields:
    found: Fields = {}
    deployment = re.search(r"/openai/deployments/([^/]+)", path)
    if deployment:
        found["deploymentName"] = deployment.group(1)
    version = re.search(r"(?:^|&)api-version=([^&]+)", query)
    if version:
        found["apiVersion"] = version.group(1)
    elif re.match(r"/openai/v1(?:/|$)", path):
        found["apiVersion"] = "v1"
    return found


def _names(key: Mapping[str, Any], field: str, pattern: re.Pattern[str]) -> Fields:
    """The field that maps the owner's own names to models, as JSON text, if it is there."""
    given = key.get(field)
    if given is None:
        return {}
    wrong = BadValue(f"key.{field} maps names to models", param=f"key.{field}")
    if not isinstance(given, Mapping) or len(given) > _NAMES_MAX:
        raise wrong
    for name, model in given.items():
        if not isinstance(name, str) or not pattern.fullmatch(name):
            raise wrong
        if not isinstance(model, str) or not 0 < len(model) <= 200 or not model.isprintable():
            raise wrong
    return {field: json.dumps(dict(given), sort_keys=True)}
