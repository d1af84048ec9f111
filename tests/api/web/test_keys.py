"""The page of keys does what the JSON routes do, says what was wrong, and never shows a secret."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping

import pytest

from api.providers.catalogue import PROVIDERS, parse_key
from tests.api.web.front import Front, card

OPENAI = "sk-proj-abcdefghijklmnopQRST"
AWS = {
    "accessKeyId": "AKIAIOSFODNN7EXAMPLE",
    "secretAccessKey": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "region": "us-east-1",
}
AZURE = {
    "endpoint": "https://myresource.openai.azure.com",
    "apiKey": "0123456789abcdef0123456789abcdef",
    "deploymentName": "gpt-4o",
    "apiVersion": "2024-10-21-preview",
}


async def add(front: Front, slug: str = "openai", **fields: str) -> str:
    """Store a key by the form; its credential id."""
    answer = await front.post("owner", f"/keys/providers/{slug}", {"key": OPENAI, **fields})
    assert answer.status_code == 303, answer.text
    identity: str = front.keys_of(slug)[-1].credential_id
    return identity


@pytest.mark.parametrize("role", ["caller", "finance", "auditor", "operator"])
@pytest.mark.parametrize("path", ["/keys", "/keys/api"])
async def test_the_pages_are_for_owners(front: Front, role: str, path: str) -> None:
    assert (await front.get(role, path)).status_code == 403
    assert (await front.post(role, "/keys/providers/openai", {"key": OPENAI})).status_code == 403
    assert front.keys_of("openai") == []


async def test_who_is_not_signed_in_is_sent_there(front: Front) -> None:
    answer = await front.get(None, "/keys")
    assert answer.headers["location"].startswith("/sign-in?next=")


async def test_every_provider_that_is_offered_has_a_card(front: Front) -> None:
    page = (await front.get("owner", "/keys")).text
    for slug, row in PROVIDERS.items():
        assert row.name in card(page, slug)
        assert "not configured" in card(page, slug)
    assert "play money" in card(page, "sandbox")


async def test_a_key_is_stored_checked_and_shown_by_its_end(front: Front) -> None:
    front.world.checker.says = ("verified", "accepted_by_provider")
    fields = {
        "key": f" {OPENAI}\n",
        "label": "team <b>",
        "models": "gpt-4o\n\ngpt-5",
        "validate": "y",
    }
    answer = await front.post("owner", "/keys/providers/openai", fields)
    assert answer.headers["location"] == "/keys?said=verified&at=openai#card-openai"
    (view,) = front.keys_of("openai")
    assert (view.status, view.models) == ("verified", frozenset({"gpt-4o", "gpt-5"}))
    assert front.world.checker.asked == [("openai", {"apiKey": OPENAI}, None)]
    page = (await front.get("owner", "/keys?said=verified&at=openai")).text
    shown = card(page, "openai")
    for words in ("QRST", "verified", "team &lt;b&gt;", "gpt-4o", "The provider accepts the key."):
        assert words in shown
    assert OPENAI not in page
    assert OPENAI[:10] not in page


@pytest.mark.parametrize(
    ("slug", "form", "key"), [("aws", "access-key", AWS), ("azure", "deployment", AZURE)]
)
@pytest.mark.parametrize("pasted", [False, True])
async def test_a_json_credential_comes_by_fields_or_as_a_whole(
    front: Front, slug: str, form: str, key: Mapping[str, str], pasted: bool
) -> None:
    fields = {"way": "json", "key": json.dumps(key)} if pasted else {"way": form, **key}
    answer = await front.post("owner", f"/keys/providers/{slug}", fields)
    assert answer.status_code == 303, answer.text
    (view,) = front.keys_of(slug)
    opened = front.world.vault.open(
        account_id=view.account_id, credential_id=view.credential_id, version=1
    )
    assert json.loads(opened.reveal()) == key


@pytest.mark.parametrize("slug", ["aws", "azure", "azure-responses"])
async def test_the_format_is_shown_and_is_one_that_is_taken(front: Front, slug: str) -> None:
    page = (await front.get("owner", f"/keys?open={slug}")).text
    for form in PROVIDERS[slug].key.forms:
        assert html.escape(form.example, quote=False).replace('"', "&#34;") in page
        filled = json.loads(form.example) | {
            each.name: "ABCDEFGHIJ0123456789"
            for each in form.fields
            if "…" in each.example and each.required
        }
        parse_key(PROVIDERS[slug], filled)


@pytest.mark.parametrize(
    ("slug", "fields", "field", "words"),
    [
        ("openai", {"key": ""}, "add-openai-key", "too short"),
        ("openai", {"key": "sk-ant-secretsecret"}, "add-openai-key", "a key of anthropic"),
        ("openai", {"key": OPENAI, "label": "two\nlines"}, "add-openai-label", "one line"),
        ("openai", {"key": OPENAI, "models": "ü"}, "add-openai-models", "visible characters"),
        ("aws", {"way": "json", "key": '{"a'}, "add-aws-json", "begins like JSON"),
        ("aws", {"way": "json", "key": "hello"}, "add-aws-json", "JSON object"),
        (
            "aws",
            {"way": "json", "key": json.dumps(AWS | {"region": "mars"})},
            "add-aws-json",
            "not a region",
        ),
        (
            "aws",
            {"way": "access-key", **AWS, "region": "mars"},
            "add-aws-access-key-region",
            "not a region",
        ),
        (
            "aws",
            {"way": "access-key", **AWS, "secretAccessKey": ""},
            "add-aws-access-key-secretAccessKey",
            "missing",
        ),
        (
            "azure",
            {"way": "deployment", **AZURE, "endpoint": "http://evil.example"},
            "add-azure-deployment-endpoint",
            "not an endpoint of Azure",
        ),
    ],
)
@pytest.mark.parametrize("htmx", [False, True])
async def test_wrong_input_comes_back_with_the_reason_beside_it(
    front: Front, slug: str, fields: dict[str, str], field: str, words: str, htmx: bool
) -> None:
    answer = await front.post("owner", f"/keys/providers/{slug}", fields, htmx=htmx)
    assert answer.status_code == 400
    shown = card(answer.text, slug)
    problem = shown.partition(f'id="{field}-problem"')[2].partition("</p>")[0]
    assert words in html.unescape(problem)
    element = shown.partition(f'id="{field}"')[2].partition(">")[0]
    assert 'aria-invalid="true"' in element
    assert f"{field}-problem" in element
    assert front.keys_of(slug) == []
    for name in ("key", "apiKey", "secretAccessKey"):
        if len(fields.get(name, "")) > 8:
            assert html.escape(fields[name]) not in answer.text
    assert ("<!doctype" not in answer.text) == htmx


async def test_what_was_typed_comes_back_but_for_what_could_be_a_secret(front: Front) -> None:
    fields = {"way": "deployment", **AZURE, "apiVersion": "soon", "label": "team"}
    text = (await front.post("owner", "/keys/providers/azure", fields)).text
    for kept in (
        "https://myresource.openai.azure.com",
        'value="gpt-4o"',
        'value="soon"',
        'value="team"',
    ):
        assert kept in card(text, "azure")
    gone = {"way": "deployment", **AZURE, "apiVersion": "soon", "deploymentName": AZURE["apiKey"]}
    assert AZURE["apiKey"] not in (await front.post("owner", "/keys/providers/azure", gone)).text


@pytest.mark.parametrize(
    ("slug", "fields", "words"),
    [
        ("openai", {"key": "gsk_somethingelse"}, "This is a key of groq, not of openai."),
        ("openai", {"key": OPENAI}, "Looks like a key of this provider."),
        ("openai", {"key": "unusual-key"}, "It can be stored all the same."),
        ("aws", {"way": "json", "key": "{"}, "Key begins like JSON, but is not."),
        ("aws", {"way": "json", "key": json.dumps(AWS)}, "Looks like a key of this provider."),
    ],
)
async def test_a_key_is_looked_at_before_it_is_stored(
    front: Front, slug: str, fields: dict[str, str], words: str
) -> None:
    answer = await front.post("owner", f"/keys/check/{slug}", fields, htmx=True)
    assert words in html.unescape(answer.text)
    assert fields["key"] not in answer.text or len(fields["key"]) < 4
    assert front.keys_of(slug) == []
    assert front.world.checker.asked == []


@pytest.mark.parametrize(
    ("says", "words"),
    [
        (("verified", "accepted_by_provider"), "The provider accepts the key."),
        (("rejected", "refused_by_provider"), "The provider refused the key."),
        (("indeterminate", "timed_out"), "The provider took too long to answer."),
    ],
)
async def test_a_test_says_what_the_provider_said(
    front: Front, says: tuple[str, str], words: str
) -> None:
    identity = await add(front)
    front.world.checker.says = says  # type: ignore[assignment]
    answer = await front.post("owner", f"/keys/{identity}/test", htmx=True)
    assert words in answer.text
    assert says[0] in card(answer.text, "openai")
    assert front.keys_of("openai")[0].status == says[0]


async def test_a_key_is_labelled_limited_rotated_disabled_and_enabled(front: Front) -> None:
    identity = await add(front, label="old")

    async def change(what: str, **fields: str) -> str:
        answer = await front.post("owner", f"/keys/{identity}/{what}", fields, htmx=True)
        assert answer.status_code == 200, answer.text
        return card(answer.text, "openai")

    assert "new name" in await change("label", label="new name")
    assert "new name" not in await change("label", label="")
    assert "only for" in (await change("models", models="gpt-4o, gpt-5")).lower()
    assert front.keys_of("openai")[0].models == {"gpt-4o", "gpt-5"}
    await change("models", models=" ")
    assert front.keys_of("openai")[0].models is None
    assert "WXYZ" in await change("rotate", key="sk-proj-otherotherWXYZ")
    assert "disabled" in await change("disable")
    assert front.keys_of("openai")[0].disabled
    await change("enable")
    assert not front.keys_of("openai")[0].disabled


async def test_a_wrong_secret_does_not_take_the_place_of_the_old_one(front: Front) -> None:
    identity = await add(front)
    answer = await front.post("owner", f"/keys/{identity}/rotate", {"key": "gsk_foreign-key-0000"})
    assert answer.status_code == 400
    assert "This is a key of groq" in card(answer.text, "openai")
    assert "gsk_foreign-key-0000" not in answer.text
    assert front.keys_of("openai")[0].key_suffix == "QRST"


async def test_a_removed_key_is_gone_and_its_secret_destroyed(front: Front) -> None:
    identity = await add(front)
    page = (await front.get("owner", f"/keys?open={identity}")).text
    assert "Its secret is destroyed." in page
    answer = await front.post("owner", f"/keys/{identity}/remove")
    assert answer.headers["location"] == "/keys?said=removed&at=openai#card-openai"
    assert front.keys_of("openai") == []
    assert (await front.get("owner", f"/keys?open={identity}")).status_code == 404
    assert (await front.post("owner", f"/keys/{identity}/test")).status_code == 404


async def test_another_account_s_key_is_not_there(front: Front) -> None:
    identity = await add(front)
    for what in ("test", "label", "rotate", "disable", "remove", "move"):
        answer = await front.post(
            "other", f"/keys/{identity}/{what}", {"label": "x", "position": "1"}
        )
        assert answer.status_code == 404
    assert (await front.get("other", f"/keys?open={identity}")).status_code == 404
    assert not front.keys_of("openai")[0].disabled


@pytest.mark.parametrize("what", ["test", "label", "models", "rotate", "disable", "remove", "move"])
async def test_a_form_of_another_site_does_nothing(front: Front, what: str) -> None:
    identity = await add(front)
    fields = {"label": "x", "models": "x", "key": "sk-proj-otherotherWXYZ", "position": "1"}
    answer = await front.post("owner", f"/keys/{identity}/{what}", fields, csrf="0" * 64)
    assert answer.status_code == 400
    (view,) = front.keys_of("openai")
    assert (view.status, view.models, view.key_suffix) == ("unverified", None, "QRST")


async def test_an_order_is_changed_step_by_step(front: Front) -> None:
    first, second, third = [await add(front, slug) for slug in ("openai", "sambanova", "novita")]

    def order() -> list[str]:
        held = front.world.directory.credentials(front.world.account_id)
        return [each.credential_id for each in held]

    await front.post("owner", f"/keys/{third}/move", {"position": "2"})
    assert order() == [first, third, second]
    await front.post("owner", f"/keys/{first}/move", {"position": "2"})
    assert order() == [third, first, second]
    assert (await front.post("owner", f"/keys/{first}/move", {"position": "x"})).status_code == 400


async def test_the_buttons_move_a_key_past_the_next_that_is_tried(front: Front) -> None:
    """Preferred providers come first, so the neighbour on the page may be far away in the order."""
    ids = [await add(front, slug) for slug in ("openai", "sambanova", "novita", "openai")]
    await front.post("owner", "/keys/routing", {"place-sambanova": "1"})
    page = (await front.get("owner", "/keys")).text
    order = page.partition('id="order"')[2]
    steps = {identity: order.split(f'action="/keys/{identity}/move"')[1:3] for identity in ids}

    def target(identity: str, down: bool) -> str:
        return steps[identity][down].partition('name="position" value="')[2].partition('"')[0]

    # Tried: sambanova (2), openai (1), novita (3), openai (4); positions in brackets.
    assert (target(ids[1], False), target(ids[1], True)) == ("", "")  # alone in its rank
    assert (target(ids[0], False), target(ids[0], True)) == ("", "3")
    assert (target(ids[2], False), target(ids[2], True)) == ("1", "4")
    assert (target(ids[3], False), target(ids[3], True)) == ("3", "")


async def test_preferences_are_replaced(front: Front) -> None:
    for slug in ("openai", "sambanova"):
        await add(front, slug)
    fields = {
        "place-openai": "20",
        "place-sambanova": "3",
        "fallbacks": "yes",
        "on_disconnect": "drain",
    }
    answer = await front.post("owner", "/keys/routing", fields)
    assert answer.headers["location"] == "/keys?said=routing&at=order#order"
    account = front.world.directory.account(front.world.account_id)
    assert account is not None
    assert account.routing.providers == ("sambanova", "openai")
    assert account.routing.fallbacks
    assert account.routing.on_disconnect == "drain"
    await front.post("owner", "/keys/routing", {})
    account = front.world.directory.account(front.world.account_id)
    assert account is not None
    assert (account.routing.providers, account.routing.fallbacks) == ((), False)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"place-openai": "1", "place-sambanova": "1"}, "has the number 1 already"),
        ({"place-openai": "first"}, "must be a whole number"),
        ({"place-nobody": "1"}, "There is no such provider."),
        ({"on_disconnect": "explode"}, "on_disconnect"),
    ],
)
async def test_wrong_preferences_change_nothing(
    front: Front, fields: dict[str, str], words: str
) -> None:
    for slug in ("openai", "sambanova"):
        await add(front, slug)
    answer = await front.post("owner", "/keys/routing", {"fallbacks": "yes", **fields})
    assert answer.status_code == 400
    assert words in html.unescape(answer.text)
    account = front.world.directory.account(front.world.account_id)
    assert account is not None
    assert not account.routing.fallbacks


async def test_without_projections_the_page_says_so_and_works(front: Front) -> None:
    await add(front)
    page = (await front.get("owner", "/keys?whole=1")).text
    assert "Calls and fees of this month cannot be shown at the moment" in page
    assert '<dd class="number">–</dd>' in card(page, "openai")


async def test_what_keys_were_used_for_comes_after_the_page(front: Front) -> None:
    key = await add(front)
    page = (await front.get("owner", "/keys")).text
    assert '<dd class="number">…</dd>' in card(page, "openai")
    assert 'hx-get="/keys/use" hx-trigger="load"' in page
    part = (await front.get("owner", "/keys/use", htmx=True)).text
    assert "cannot be shown at the moment" in part
    assert f'id="use-{key}" hx-swap-oob="true"' in part
    assert '<dd class="number">–</dd>' in part
    assert (await front.get("owner", "/keys/use")).headers["location"] == "/keys?whole=1"


async def test_a_sentence_of_the_address_is_one_of_ours(front: Front) -> None:
    page = (await front.get("owner", "/keys?said=<script>alert(1)</script>&at=openai")).text
    assert "alert(1)" not in page
    assert (await front.get("owner", "/keys?open=../../etc")).status_code == 404
