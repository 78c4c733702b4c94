
"use strict";
// Finds tags, and folds. Everything is there and readable without it.
(() => {
  const form = document.getElementById("filter");
  const [words, verdict, fold, found] = ["words", "verdict", "fold", "found"].map((id) => document.getElementById(id));
  const all = [...document.querySelectorAll("main details")];
  const begin = new Map(all.map((part) => [part, part.open]));
  const repositories = [...document.querySelectorAll(".repository")].map((part) => ({
    part,
    path: part.querySelector("[data-path]").textContent.toLowerCase(),
    groups: [...part.querySelectorAll(".tags")].map((group) => ({
      group,
      goes: group.classList.contains("go"),
      rows: [...group.querySelectorAll("tbody tr")].map((row) => [row, row.textContent.toLowerCase()]),
    })),
  }));

  const filter = () => {
    const text = words.value.trim().toLowerCase();
    const active = text !== "" || verdict.value !== "";
    let total = 0;
    for (const { part, path, groups } of repositories) {
      const whole = path.includes(text);
      let here = 0;
      for (const { group, goes, rows } of groups) {
        const wanted = verdict.value === "" || (verdict.value === "go") === goes;
        let hits = 0;
        for (const [row, content] of rows) {
          const hit = wanted && (whole || content.includes(text));
          if (row.hidden === hit) row.hidden = !hit;
          if (hit) hits += 1;
        }
        group.hidden = active && hits === 0;
        group.open = active ? hits > 0 && (hits <= 200 || begin.get(group)) : begin.get(group);
        here += hits;
      }
      part.hidden = active && here === 0 && !(whole && verdict.value === "");
      part.open = active ? here > 0 : begin.get(part);
      total += here;
    }
    found.textContent = active ? `${total.toLocaleString("en")} found` : "";
  };

  let waits = 0;
  const soon = () => {
    cancelAnimationFrame(waits);
    waits = requestAnimationFrame(filter);
  };
  words.addEventListener("input", soon);
  verdict.addEventListener("change", soon);
  form.addEventListener("submit", (event) => event.preventDefault());
  fold.addEventListener("click", () => {
    const open = fold.getAttribute("aria-pressed") !== "true";
    fold.setAttribute("aria-pressed", String(open));
    for (const part of all) part.open = open || begin.get(part);
  });
  // On paper nothing can be unfolded: what would go is printed, what stays as it is folded.
  let before = [];
  addEventListener("beforeprint", () => {
    before = all.map((part) => [part, part.open]);
    for (const part of all) part.open ||= !part.classList.contains("tags") || part.classList.contains("go");
  });
  addEventListener("afterprint", () => before.forEach(([part, open]) => (part.open = open)));
  form.hidden = false;
})();
