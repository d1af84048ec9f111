"""What becomes of issued invoices: paid, voided, credited; numbers stay without gap."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from domain.coordination.memory import MemoryLocks
from domain.credit_note import NothingToCredit
from domain.errors import BadValue
from domain.events.base import Event
from domain.invoice import InvoiceNotFound, InvoiceSettled
from domain.invoice_register import InvoiceRegister
from domain.money import Money
from domain.receivables import Receivables
from projections.credit_notes import CREDIT_NOTE_FORMS, CreditNotes
from projections.store.port import ProjectionStore
from tests.workers.office import DECEMBER, NOVEMBER, Office


class Billed:
    """An office that has issued one invoice over ten dollars, and 1.90 of tax."""

    def __init__(self, tables: ProjectionStore) -> None:
        self.office = Office(tables)
        self.locks = MemoryLocks()
        world = self.office.world
        self.account = world.open_account("a", tax="0.19")
        for _ in range(2):  # (2 × 2 + 12 × 8) × 0.05
            world.call(self.account, usage={"input_tokens": 2_000_000, "output_tokens": 12_000_000})
        self.office.go_to(NOVEMBER.end)
        (self.invoice,) = self.office.close(NOVEMBER)
        assert (self.invoice["subtotal"], self.invoice["tax"]) == ("10", "1.9")
        self.notes = CreditNotes(self.office.register)

    def desk(self) -> Receivables:
        log, clock = self.office.world.log, self.office.world.clock
        register = InvoiceRegister(log)
        return Receivables(log=log, register=register, locks=self.locks, clock=clock)

    def shown(self) -> dict[str, object]:
        return dict(self.office.invoices.show(self.invoice["id"]))


@pytest.fixture
def billed(tables: ProjectionStore) -> Billed:
    return Billed(tables)


def test_a_paid_invoice_says_so_and_is_paid_once(billed: Billed) -> None:
    billed.desk().pay(billed.invoice["number"], reference="transfer 17")
    assert billed.shown() == {**billed.invoice, "status": "paid"}
    with pytest.raises(InvoiceSettled):
        billed.desk().pay(billed.invoice["id"])
    with pytest.raises(InvoiceSettled):
        billed.desk().void(billed.invoice["id"], reason="changed our mind")


def test_a_voided_invoice_is_neither_paid_nor_credited(billed: Billed) -> None:
    billed.desk().void(billed.invoice["id"], reason="wrong account")
    assert billed.shown()["status"] == "void"
    with pytest.raises(InvoiceSettled):
        billed.desk().pay(billed.invoice["id"])
    with pytest.raises(InvoiceSettled):
        billed.desk().credit(billed.invoice["id"], reason="too late")


def test_a_credit_note_takes_the_next_number_and_leaves_the_invoice_as_it_is(
    billed: Billed,
) -> None:
    note = billed.desk().credit(
        billed.invoice["id"], reason="two calls were ours", amount=Money.parse("2.5")
    )
    assert note.event.number == "KT-2026-000002"
    assert billed.shown() == billed.invoice
    (shown,) = billed.notes.of(billed.invoice["number"], account_id=billed.account)
    assert shown == billed.notes.show("KT-2026-000002")
    assert (shown["subtotal"], shown["tax"], shown["total"]) == ("2.5", "0.48", "2.98")
    assert shown["invoice_number"] == "KT-2026-000001"
    with pytest.raises(InvoiceSettled):
        billed.desk().void(billed.invoice["id"], reason="now void it")
    rest = billed.desk().credit(billed.invoice["id"], reason="and the rest")
    assert (rest.event.subtotal, rest.event.tax) == ("7.5", "1.42")
    with pytest.raises(NothingToCredit):
        billed.desk().credit(billed.invoice["id"], reason="once more")


def test_the_next_invoice_goes_on_behind_a_credit_note(billed: Billed) -> None:
    billed.desk().credit(billed.invoice["id"], reason="goodwill", amount=Money.parse("1"))
    billed.office.world.call(billed.account, usage={"input_tokens": 2_000_000})
    billed.office.go_to(DECEMBER.end - timedelta(hours=1))
    billed.office.go_to(DECEMBER.end)
    (second,) = billed.office.close(DECEMBER)
    assert second["number"].endswith("-000003") or second["number"] == "KT-2027-000001"


def test_who_comes_at_once_gives_back_no_more_than_was_billed(billed: Billed) -> None:
    given, refused = [], []

    def credit() -> None:
        try:
            given.append(
                billed.desk().credit(
                    billed.invoice["id"], reason="at once", amount=Money.parse("3")
                )
            )
        except NothingToCredit as error:
            refused.append(error)

    threads = [threading.Thread(target=credit) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(given), len(refused)) == (3, 3)
    notes = billed.notes.of(billed.invoice["id"])
    assert [each["number"] for each in notes] == [f"KT-2026-00000{n}" for n in (2, 3, 4)]


def test_who_voids_and_who_credits_at_once_give_back_only_once(
    billed: Billed, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, refused, threads = billed.office.world.log, [], []
    submit = log.submit

    def credit() -> None:
        try:
            billed.desk().credit(billed.invoice["id"], reason="at once")
        except InvoiceSettled as error:
            refused.append(error)

    def while_another_credits(*events: Event, account_id: str | None) -> object:
        monkeypatch.undo()
        threads.append(threading.Thread(target=credit))
        threads[0].start()
        threads[0].join(0.2)
        return submit(*events, account_id=account_id)

    monkeypatch.setattr(log, "submit", while_another_credits)
    billed.desk().void(billed.invoice["id"], reason="wrong account")
    threads[0].join()
    assert (billed.shown()["status"], len(refused)) == ("void", 1)
    assert not billed.notes.of(billed.invoice["id"])


def test_of_another_account_nothing_is_known(billed: Billed) -> None:
    billed.desk().credit(billed.invoice["id"], reason="goodwill")
    other = billed.office.world.open_account("b")
    for ask in (
        lambda: billed.notes.of(billed.invoice["id"], account_id=other),
        lambda: billed.notes.show("KT-2026-000002", account_id=other),
        lambda: billed.notes.show("KT-2026-000009"),
    ):
        with pytest.raises(InvoiceNotFound):
            ask()


@pytest.mark.parametrize("reason", ["", "  ", "two\nlines", "x" * 201])
def test_a_reason_is_one_line(billed: Billed, reason: str) -> None:
    with pytest.raises(BadValue):
        billed.desk().credit(billed.invoice["id"], reason=reason)
    with pytest.raises(BadValue):
        billed.desk().void(billed.invoice["id"], reason=reason)


def test_its_forms_have_the_same_bytes_every_time(billed: Billed) -> None:
    billed.desk().credit(
        billed.invoice["id"], reason="Gutschrift für Müller", amount=Money.parse("0.01")
    )
    document = billed.notes.show("KT-2026-000002")
    for _, made in CREDIT_NOTE_FORMS.values():
        assert made(document) == made(dict(document))
    _, csv = CREDIT_NOTE_FORMS["csv"]
    rows = csv(document).decode().splitlines()
    assert rows[1].startswith(
        "line,KT-2026-000002,KT-2026-000001,USD,1,usage,,,openai,gpt-x,10,0.01"
    )
    assert rows[-1].endswith(",0.01")
    _, pdf = CREDIT_NOTE_FORMS["pdf"]
    assert pdf(document).startswith(b"%PDF-")
