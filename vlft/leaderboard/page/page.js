"use strict";
// Sorting, filtering and opening rows. Without scripts everything is shown, in the order of ranks.
document.documentElement.classList.add("js");

document.addEventListener("DOMContentLoaded", () => {
  const entries = [...document.querySelectorAll("tbody.entry")].map((body) => ({
    body,
    text: body.dataset.text.toLowerCase(),
    card: body.closest(".card"),
    benchmark: body.closest(".benchmark"),
  }));
  const query = document.getElementById("q");
  const choice = document.getElementById("benchmark");
  const state = document.getElementById("status");

  function filter() {
    const words = query.value.toLowerCase().split(/\s+/).filter(Boolean);
    const seen = new Set();
    let count = 0;
    for (const entry of entries) {
      const here = !choice.value || entry.benchmark.dataset.benchmark === choice.value;
      const shown = here && words.every((word) => entry.text.includes(word));
      entry.body.hidden = !shown;
      if (shown) {
        count += 1;
        seen.add(entry.card).add(entry.benchmark);
      }
    }
    const all = !words.length;
    for (const card of document.querySelectorAll(".card")) card.hidden = !seen.has(card);
    for (const one of document.querySelectorAll(".benchmark")) {
      one.hidden = !seen.has(one) && !(all && (!choice.value || one.dataset.benchmark === choice.value));
    }
    document.getElementById("nothing").hidden = count > 0 || all;
    const narrowed = count < entries.length;
    state.textContent = narrowed ? `${count} of ${entries.length} rows` : `${count} rows`;
  }

  function remember() {
    const kept = new URLSearchParams();
    if (query.value) kept.set("q", query.value);
    if (choice.value) kept.set("benchmark", choice.value);
    const hash = kept.toString();
    try {
      history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
    } catch {
      // a browser that forbids it for files: the address then does not hold the filter
    }
  }

  function recall() {
    const kept = new URLSearchParams(location.hash.slice(1));
    query.value = kept.get("q") ?? "";
    const wanted = kept.get("benchmark") ?? "";
    choice.value = [...choice.options].some((one) => one.value === wanted) ? wanted : "";
  }

  function sort(header) {
    const table = header.closest("table");
    const column = [...header.parentElement.children].indexOf(header);
    const first = header.querySelector("button").dataset.first;
    const second = first === "ascending" ? "descending" : "ascending";
    const order = header.getAttribute("aria-sort") === first ? second : first;
    for (const other of header.parentElement.children) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const bodies = [...table.tBodies].map((body) => [body, key(body.rows[0].cells[column])]);
    bodies.sort(([, a], [, b]) => {
      if (a === null || b === null) return (a === null) - (b === null); // nothing comes last
      return sign * (typeof a === "number" && typeof b === "number" ? a - b : compare(a, b));
    });
    table.append(...bodies.map(([body]) => body));
  }

  function key(cell) {
    const value = cell.dataset.value ?? cell.textContent.trim();
    if (value === "") return null;
    return cell.classList.contains("num") || cell.classList.contains("interval")
      ? Number(value)
      : value;
  }

  function compare(a, b) {
    return String(a).localeCompare(String(b), "en", { numeric: true });
  }

  document.addEventListener("click", (event) => {
    const header = event.target.closest("button.sort")?.closest("th");
    if (header) sort(header);
    const opener = event.target.closest("button.open");
    if (opener) {
      const open = opener.getAttribute("aria-expanded") === "true";
      opener.setAttribute("aria-expanded", String(!open));
      opener.closest("tbody").classList.toggle("opened", !open);
    }
  });
  for (const [field, event] of [[query, "input"], [choice, "change"]]) {
    field.addEventListener(event, () => {
      filter();
      remember();
    });
  }
  document.querySelector("form.tools").addEventListener("submit", (event) => event.preventDefault());
  recall();
  filter();
});
