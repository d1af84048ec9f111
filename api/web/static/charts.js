// The chart of the usage page, and parts of pages that keep themselves up to date.

"use strict";

const COLOURS = ["#0f766e", "#d97706", "#4f46e5", "#e11d48", "#65a30d", "#0ea5e9", "#c026d3", "#92400e", "#eab308", "#64748b"];
let drawn = null;

// Bars from the JSON in data-chart. Amounts come as text and stay text in every label; only the
// height of a bar is a float.
function draw() {
  const canvas = document.getElementById("chart");
  if (!canvas || typeof Chart === "undefined") return;
  const asked = JSON.parse(canvas.dataset.chart);
  const measure = document.getElementById("show")?.value ?? "fee_usd";
  const style = getComputedStyle(document.documentElement);
  const ink = resolved(style, "--soft"), line = resolved(style, "--line");
  const times = measure === "latency";
  const series = times ? asked.latency : asked.series;
  drawn?.destroy();
  Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
  drawn = new Chart(canvas, {
    type: times ? "line" : "bar",
    data: {
      labels: asked.spans,
      datasets: series.map((each, index) => {
        const texts = times ? each.values : each[measure];
        const colour = COLOURS[index % COLOURS.length];
        return {
          label: each.name, texts, data: texts.map((text) => (text === null ? null : Number(text))),
          backgroundColor: colour, borderColor: colour, borderWidth: times ? 2 : 0, pointRadius: 2, spanGaps: false,
        };
      }),
    },
    options: {
      animation: false, maintainAspectRatio: false, color: ink, interaction: { mode: "index", intersect: false },
      scales: {
        x: { stacked: !times, ticks: { color: ink, maxRotation: 0, autoSkipPadding: 16 }, grid: { display: false } },
        y: { stacked: !times, beginAtZero: true, ticks: { color: ink, callback: plain }, grid: { color: line }, title: { display: true, text: asked.measures[measure], color: ink } },
      },
      plugins: {
        legend: { display: series.length > 1, position: "bottom", labels: { color: ink, boxWidth: 12 } },
        tooltip: {
          filter: (item) => item.raw !== 0 && item.raw !== null,
          callbacks: { label: (item) => `${item.dataset.label}: ${item.dataset.texts[item.dataIndex]}` },
        },
      },
    },
  });
}

// A height beside the chart, without an exponent: fees are small numbers.
function plain(value) {
  return value.toLocaleString("en", { maximumSignificantDigits: 6 });
}

// Chart.js knows no light-dark(): let the browser say what it comes to.
function resolved(style, name) {
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);
  probe.style.color = style.getPropertyValue(name);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}

document.addEventListener("change", (event) => {
  if (event.target.id === "show") {
    const address = new URL(location);
    address.searchParams.set("show", event.target.value);
    history.replaceState(history.state, "", address);
    draw();
    return;
  }
  // A filter that was chosen takes effect at once; one that is typed, when the form is sent.
  const form = event.target.closest("#filters");
  if (form && event.target.matches("select") && !waitsForMore(event.target)) form.requestSubmit();
});

function waitsForMore(select) {
  return select.value === "days" || (select.name === "by" && select.value === "tag");
}

// Only what was chosen belongs into the address.
document.addEventListener("submit", (event) => {
  if (event.target.id !== "filters") return;
  for (const field of event.target.elements) if (field.name && !field.value) field.disabled = true;
});
addEventListener("pageshow", () => {
  for (const field of document.querySelectorAll("#filters [name]")) field.disabled = false;
});

// data-live: asks now and then for what is new, but not while nobody looks or an answer is awaited.
document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.target.matches("[data-live]") && document.hidden) event.preventDefault();
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  for (const part of document.querySelectorAll("[data-live]")) htmx.trigger(part, "shown");
});
// What a reader has opened stays open when a part comes anew.
let opened = [];
document.addEventListener("htmx:beforeSwap", (event) => {
  opened = [...event.target.querySelectorAll("details[open][id]")].map((each) => each.id);
});
document.addEventListener("htmx:afterSwap", (event) => {
  for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
  if (event.target.id === "figures") draw();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
addEventListener("DOMContentLoaded", draw);
