// The filter of the cards on the page of keys. Without scripts all cards are shown.

"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const form = document.querySelector("[data-filter]");
  if (!form) return;
  const cards = document.querySelector(form.dataset.filter);
  const words = form.querySelector("[data-filter-words]");
  const state = form.querySelector("[data-filter-state]");
  const count = form.querySelector("[data-filter-count]");
  const none = document.getElementById("no-cards");

  function filter() {
    const wanted = words.value.trim().toLowerCase();
    const all = cards.querySelectorAll("[data-card]");
    let left = 0;
    for (const card of all) {
      const fits =
        (!wanted || card.dataset.words.includes(wanted)) &&
        (!state.value || card.dataset.states.split(" ").includes(state.value));
      card.hidden = !fits;
      left += fits;
    }
    none.hidden = left > 0;
    count.textContent = left === all.length ? "" : `${left} of ${all.length}`;
  }

  form.hidden = false;
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("htmx:afterSettle", filter);
  document.querySelector("[data-filter-clear]").addEventListener("click", () => {
    form.reset();
    filter();
    words.focus();
  });
});
