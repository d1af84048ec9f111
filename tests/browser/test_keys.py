"""Bring your own key, as people use it: every form, every role, light and dark, wide and narrow."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit
from tests.browser.visitor import NARROW, WIDE, Scheme, Visitor
from tests.e2e.gate import TollGate

pytestmark = pytest.mark.services
SECRET = "sk-proj-browserBrowserBrowserABCD"


def opened(visitor: Visitor, slug: str, link: str = "Add") -> Page:
    """The page with a form of a card open."""
    page = visitor.go("/keys")
    card = page.locator(f"#card-{slug}")
    card.get_by_role("link", name=link).first.click()
    card.locator(".panel").wait_for()
    return page


def stored(gate: TollGate, slug: str) -> list[dict[str, object]]:
    with gate.program.client() as client:
        keys = client.get("/api/user/provider-keys").json()["keys"]
    return [key for key in keys if key["provider"] == slug]


def clean(gate: TollGate, slug: str) -> None:
    """Take away what a test added: the shared gate has one key of each provider."""
    with gate.program.client() as client:
        for key in stored(gate, slug)[1:]:
            assert client.delete(f"/api/user/provider-keys/{key['id']}").status_code == 200


@pytest.mark.parametrize("width", [NARROW, WIDE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/keys", "/keys?open=aws", "/keys/api"])
def test_the_pages_are_sound(visit: Visit, width: int, scheme: Scheme, path: str) -> None:
    visitor = visit("owner", width=width, scheme=scheme)
    page = visitor.go(path)
    assert visitor.violations() == []
    assert visitor.overflow() == 0
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    assert visitor.violations() == []
    assert visitor.overflow() == 0


@pytest.mark.parametrize("width", [NARROW, WIDE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_forms_of_a_stored_key_are_sound(
    visit: Visit, gate: TollGate, width: int, scheme: Scheme
) -> None:
    visitor = visit("owner", width=width, scheme=scheme)
    page = opened(visitor, "azure", "Manage")
    assert visitor.violations() == []
    assert visitor.overflow() == 0
    page.get_by_role("button", name="Remove…").click()
    assert visitor.violations() == []
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert len(stored(gate, "azure")) == 1


@pytest.mark.parametrize("role", ["finance", "auditor", "operator", "caller"])
def test_others_are_told_that_the_page_is_not_theirs(visit: Visit, role: str) -> None:
    visitor = visit(role)
    for path in ("/keys", "/keys/api"):
        visitor.go(path)
        assert "this page is for owner" in visitor.page.inner_text("main")
        assert visitor.violations() == []


def test_a_key_lives_its_life(visit: Visit, gate: TollGate) -> None:
    visitor = visit("owner")
    page = opened(visitor, "openai")
    card = page.locator("#card-openai")
    card.get_by_role("textbox", name="Key of OpenAI").fill(SECRET)
    expect(card.get_by_text("Looks like a key of this provider.")).to_be_visible()
    card.get_by_role("textbox", name="Label").fill("<b>bold</b> team")
    card.get_by_role("button", name="Store the key").click()
    expect(card.get_by_role("status")).to_be_focused()
    added = card.locator("li", has_text="ABCD")
    expect(added.get_by_text("<b>bold</b> team")).to_be_visible()
    assert SECRET not in page.content()

    added.get_by_role("button", name="Test").click()
    expect(card.get_by_role("status")).to_be_focused()
    expect(card.get_by_role("status")).to_contain_text("provider")

    added.get_by_role("link", name="Manage").click()
    added.get_by_role("textbox", name="Label").fill("the team")
    added.get_by_role("button", name="Save the label").click()
    expect(added.get_by_text("the team")).to_be_visible()

    added.get_by_role("link", name="Manage").click()
    added.get_by_label("Only these models").fill("gpt-4o\ngpt-4o-mini")
    added.get_by_role("button", name="Save the limit").click()
    expect(added.get_by_text("Only for gpt-4o, gpt-4o-mini")).to_be_visible()

    added.get_by_role("link", name="Manage").click()
    added.get_by_role("button", name="Disable").click()
    expect(added.locator(".state")).to_have_text("disabled")

    added.get_by_role("link", name="Manage").click()
    added.get_by_role("button", name="Enable").click()
    added.get_by_role("link", name="Manage").click()
    added.get_by_role("textbox", name="Key of OpenAI").fill("sk-proj-rotatedRotatedWXYZ")
    added.get_by_role("button", name="Rotate the key").click()
    rotated = card.locator("li", has_text="WXYZ")
    expect(rotated).to_be_visible()

    rotated.get_by_role("link", name="Manage").click()
    rotated.get_by_role("button", name="Remove…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Its secret is destroyed.")
    dialog.get_by_role("button", name="Keep it").click()
    expect(dialog).to_be_hidden()
    rotated.get_by_role("button", name="Remove…").click()
    dialog.get_by_role("button", name="Remove for ever").click()
    expect(rotated).to_be_hidden()
    assert len(stored(gate, "openai")) == 1


def test_wrong_input_is_said_at_once_and_keeps_what_was_typed(visit: Visit, gate: TollGate) -> None:
    visitor = visit("owner")
    page = opened(visitor, "aws")
    card = page.locator("#card-aws")
    form = card.locator("form", has=page.get_by_role("textbox", name="Secret access key"))
    form.get_by_role("textbox", name="Access key id").fill("not an id")
    form.get_by_role("textbox", name="Secret access key").fill("aSecretThatMustNotComeBack0000")
    form.get_by_role("combobox", name="Region").select_option("eu-central-1")
    form.get_by_role("button", name="Store the key").click()
    expect(card.get_by_role("alert")).to_have_text("AccessKeyId is not an access key id.")
    expect(form.get_by_role("textbox", name="Access key id")).to_have_attribute(
        "aria-invalid", "true"
    )
    expect(form.get_by_role("combobox", name="Region")).to_have_value("eu-central-1")
    expect(form.get_by_role("textbox", name="Secret access key")).to_have_value("")
    assert "aSecretThatMustNotComeBack0000" not in page.content()
    assert visitor.violations() == []

    card.get_by_text("Paste JSON").click()
    pasted = card.get_by_label("Credential of AWS Bedrock as JSON")
    pasted.fill(json.dumps({"accessKeyId": "AKIAIOSFODNN7EXAMPLE", "region": "mars"}))
    expect(card.get_by_text("Region is not a region of AWS.")).to_be_visible()
    pasted.fill(
        json.dumps(
            {
                "accessKeyId": "AKIAIOSFODNN7EXAMPLE",
                "secretAccessKey": "aSecretThatMustNotComeBack0000",
                "region": "us-east-1",
            }
        )
    )
    expect(card.get_by_text("Looks like a key of this provider.")).to_be_visible()
    assert len(stored(gate, "aws")) == 1


def test_cards_are_found(visit: Visit) -> None:
    visitor = visit("owner")
    page = visitor.go("/keys")
    search = page.get_by_role("searchbox", name="Search providers and labels")
    search.fill("bedrock")
    expect(page.locator("[data-card]:visible")).to_have_count(1)
    search.fill("nothing like it")
    expect(page.get_by_text("No provider fits.")).to_be_visible()
    page.get_by_role("button", name="Show all").click()
    expect(page.locator("[data-card]:visible")).to_have_count(20)
    page.get_by_label("State", exact=True).select_option("unconfigured")
    expect(page.locator("[data-card]:visible")).to_have_count(0)


def test_the_order_is_changed_and_preferred(visit: Visit, gate: TollGate) -> None:
    visitor = visit("owner")
    page = visitor.go("/keys")
    rows = page.locator("#order tbody tr")
    first, second = (rows.nth(place).inner_text().split()[1] for place in (2, 3))
    assert first != second
    rows.nth(2).get_by_role("button", name="down").click()
    expect(rows.nth(3)).to_contain_text(first)
    expect(rows.nth(2)).to_contain_text(second)
    expect(page.locator("#order").get_by_role("status")).to_have_text("The order is saved.")
    rows.nth(3).get_by_role("button", name="up").click()
    expect(rows.nth(2)).to_contain_text(first)
    page.get_by_text("Preferred providers").click()
    page.locator("#place-groq").fill("2")
    page.locator("#place-together").fill("1")
    page.get_by_label("Another key may be tried when one fails").check()
    page.get_by_role("button", name="Save preferences").click()
    expect(rows.nth(0)).to_contain_text("Together")
    expect(rows.nth(1)).to_contain_text("Groq")
    expect(page.get_by_label("Another key may be tried when one fails")).to_be_checked()
    page.locator("#place-groq").fill("1")
    page.get_by_role("button", name="Save preferences").click()
    expect(page.get_by_role("alert")).to_contain_text("has the number 1 already")
    assert visitor.violations() == []
    with gate.program.client() as client:
        answer = client.put("/api/user/routing", json={"providers": [], "fallbacks": False})
    assert answer.status_code == 200


def test_the_example_follows_the_chosen_provider(visit: Visit, gate: TollGate) -> None:
    visitor = visit("owner")
    page = visitor.go("/keys")
    example = page.locator("#example")
    example.get_by_label("Provider", exact=True).select_option("google")
    expect(example.get_by_label("The call in curl")).to_contain_text("x-byok-provider: google")
    expect(example.get_by_label("The call in curl")).to_contain_text(
        f"{gate.program.base_url}/api/v1/chat/completions"
    )
    example.get_by_role("radio", name="Python").check()
    expect(example.get_by_label("The call in Python")).to_be_visible()
    expect(example.get_by_label("The call in curl")).to_be_hidden()
    visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])
    example.get_by_role("button", name="Copy the Python example").click()
    expect(page.locator("#said")).to_have_text("Copied.")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == example.get_by_label("The call in Python").inner_text().strip()


def test_calls_and_fee_of_the_month_are_shown(visit: Visit, gate: TollGate) -> None:
    receipt = gate.post("plain", provider="novita").json()["x_keytoll"]
    visitor = visit("owner")
    page = visitor.go("/keys")
    figures = page.locator("#card-novita .figures")
    for _ in range(50):
        if "Calls this month\n0" not in figures.inner_text():
            break
        page.wait_for_timeout(100)
        page.reload()
    with gate.program.client() as client:
        rows = client.get("/api/v1/usage?group_by=credential").json()["rows"]
    (row,) = [each for each in rows if each["credential"] == receipt["credential_id"]]
    expect(figures).to_contain_text(f"Calls this month\n{row['requests']}", use_inner_text=True)
    expect(figures).to_contain_text(f"${row['fee_usd'][:12]}")


def test_an_api_key_is_issued_shown_once_and_revoked(visit: Visit) -> None:
    visitor = visit("owner")
    page = visitor.go("/keys/api")
    page.get_by_label("Name").fill("of the browser")
    page.get_by_label("Calls a minute at most").fill("none")
    page.get_by_role("button", name="Issue the key").click()
    expect(page.get_by_role("alert")).to_contain_text("must be a whole number")
    expect(page.get_by_label("Name")).to_have_value("of the browser")
    assert visitor.violations() == []
    page.get_by_label("Calls a minute at most").fill("60")
    page.get_by_role("button", name="Issue the key").click()
    secret = page.get_by_label("The new API key").inner_text()
    assert secret.startswith("kt_")
    assert visitor.violations() == []
    visitor.go("/keys/api")
    assert secret not in page.content()
    page.get_by_role("button", name="Revoke… of the browser").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke for ever").click()
    expect(page.get_by_role("status").first).to_contain_text("The key is revoked")
    expect(page.get_by_text("of the browser")).to_have_count(0)


@pytest.mark.parametrize("width", [NARROW, WIDE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_callers_have_a_page_to_begin_with(visit: Visit, width: int, scheme: Scheme) -> None:
    visitor = visit("caller", width=width, scheme=scheme)
    assert visitor.page.url.endswith("/start")
    assert visitor.violations() == []
    assert visitor.overflow() == 0
    visitor.page.get_by_label("Provider", exact=True).select_option("groq")
    expect(visitor.page.get_by_label("The call in curl")).to_contain_text("groq")


def test_models_are_searched_as_one_types(visit: Visit) -> None:
    visitor = visit("caller", width=NARROW)
    page = visitor.go("/models")
    assert visitor.violations() == []
    assert visitor.overflow() == 0
    page.get_by_role("searchbox", name="Search models").press_sequentially("sandbox echo-free")
    expect(page.get_by_role("status").first).to_contain_text("1 found")
    expect(page.get_by_role("row").nth(1)).to_contain_text("free")
    assert visitor.violations() == []


def test_everything_works_without_scripts(visit: Visit, gate: TollGate) -> None:
    visitor = visit(None)
    browser = visitor.context.browser
    assert browser is not None
    context = browser.new_context(java_script_enabled=False)
    plain = Visitor(context, context.new_page(), visitor.base_url)
    plain.sign_in(gate.program.api_keys["owner"])
    page = plain.go("/keys")
    card = page.locator("#card-groq")
    card.get_by_role("link", name="Add").click()
    card.get_by_role("textbox", name="Key of Groq").fill("gsk_withoutScripts7777")
    card.get_by_label("Ask the provider").uncheck()
    card.get_by_role("button", name="Store the key").click()
    added = page.locator("#card-groq li", has_text="7777")
    expect(added.locator(".state")).to_have_text("unverified")
    added.get_by_role("link", name="Manage").click()
    added.get_by_role("button", name="Remove for ever").first.click()
    expect(page.locator("#card-groq li", has_text="7777")).to_have_count(0)
    context.close()
    clean(gate, "groq")


def test_a_new_account_sees_where_to_begin(visit: Visit, gate: TollGate) -> None:
    with gate.program.client("operator") as client:
        account = client.post("/api/v1/accounts", json={"name": "new"}).json()
    visitor = visit(None)
    visitor.sign_in(account["api_keys"]["owner"])
    page = visitor.go("/keys")
    expect(page.get_by_text("No key is stored yet.")).to_be_visible()
    expect(page.get_by_text("There is no key yet.")).to_be_visible()
    assert visitor.violations() == []
