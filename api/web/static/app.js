// What pages need beyond htmx. No inline handlers: everything is found by data attributes.

"use strict";

// data-copy="#id": copies the text of that element.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const source = document.querySelector(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.textContent.trim());
    say("Copied.");
  } catch {
    const range = document.createRange();
    range.selectNodeContents(source);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    say("Press Ctrl+C to copy.");
  }
});

// data-confirm="question": asks before a form is sent, also one that htmx would send.
document.addEventListener(
  "submit",
  (event) => {
    const question = event.target.dataset.confirm;
    if (!question || confirm(question)) return;
    event.preventDefault();
    event.stopPropagation();
  },
  true,
);

// data-opens="#id" opens a <dialog>; data-closes closes the one around it.
document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-opens]");
  if (opener) document.querySelector(opener.dataset.opens)?.showModal();
  const closer = event.target.closest("[data-closes]");
  if (closer) closer.closest("dialog")?.close();
});

// <time datetime="…Z"> shows UTC; its title tells the reader's own time.
function tellLocalTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const instant = new Date(time.dateTime);
    if (!Number.isNaN(instant.valueOf())) time.title = `${instant.toLocaleString()} your time`;
  }
}

// data-reload-s="5": what is not there yet is looked for again.
function lookAgain() {
  const waiting = document.querySelector("[data-reload-s]");
  if (waiting) setTimeout(() => location.reload(), waiting.dataset.reloadS * 1000);
}

function say(words) {
  const place = document.getElementById("said");
  place.textContent = words;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => (place.textContent = ""), 4000);
}

document.addEventListener("DOMContentLoaded", () => {
  tellLocalTimes(document);
  lookAgain();
});
document.addEventListener("htmx:load", (event) => tellLocalTimes(event.detail.elt));
// Answers that refuse are pages or parts of pages too: show them.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.xhr.status >= 400) {
    event.detail.shouldSwap = true;
    event.detail.isError = false;
  }
});
// A form that comes back refused: go on where something is wrong.
document.addEventListener("htmx:afterSettle", (event) => {
  event.detail.elt.querySelector?.('[aria-invalid="true"]')?.focus();
});
