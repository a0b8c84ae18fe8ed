"use strict";
(() => {
  const page = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const form = byId("filter-form"), range = byId("loss"), number = byId("loss-number");
  const phone = matchMedia("(max-width: 600px)").matches;
  const views = {};
  document.documentElement.classList.add("scripted");

  // Every answer was computed by segbench/report/answer.py, and stands in the page: here one of them is shown.
  function choose(loss) {
    for (const group of document.querySelectorAll("[data-steps]")) {
      const steps = [...group.children], chosen = steps.findLast((step) => Number(step.dataset.from) <= loss);
      for (const step of steps) step.hidden = step !== chosen;
    }
    byId("loss-said").textContent = String(loss);
  }

  function shownRows() {
    const off = {};
    for (const box of form.querySelectorAll("input[type=checkbox]:not(:checked)")) (off[box.name] ??= new Set()).add(box.value);
    return page.rows.filter((row) => Object.entries(off).every(([key, values]) => !values.has(row[key])));
  }

  function apply() {
    const rows = shownRows(), ids = new Set(rows.map((row) => row.id)), models = new Set(rows.map((row) => row.model));
    for (const element of document.querySelectorAll("[data-row]")) element.hidden = !ids.has(element.dataset.row);
    for (const element of document.querySelectorAll("[data-model]")) element.hidden = !models.has(element.dataset.model);
    for (const [name, view] of Object.entries(views))
      view.data("figures", page.plots[name].figures.filter((figure) => ids.has(figure.row))).resize().runAsync();
    byId("shown").textContent = rows.length === page.rows.length ? `All ${rows.length} rows are shown.` : `${rows.length} of ${page.rows.length} rows are shown.`;
  }

  async function draw(element) {
    const name = element.dataset.plot, { spec, figures } = page.plots[name];
    spec.datasets = { figures: structuredClone(figures) };
    if (phone) {
      for (const parameter of spec.params ?? []) if (parameter.name === "narrow") parameter.value = true;
      spec.config.legend = { layout: { bottom: { direction: "vertical", anchor: "start" } } };
      if (spec.height && spec.height.step) spec.height.step = Math.max(30, spec.height.step);
    }
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const made = await vegaEmbed(element, spec, { renderer: "svg", actions: false, logLevel: 1 /* errors */, tooltip: { theme: dark ? "dark" : "light" } });
    views[name] = made.view;
  }

  function sortBy(table, column, header) {
    const up = header.getAttribute("aria-sort") !== "ascending";
    for (const other of table.querySelectorAll("thead th")) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", up ? "ascending" : "descending");
    const text = (row) => row.cells[column].textContent.trim();
    const compare = (a, b) => {
      if (!text(a) || !text(b)) return text(a) ? -1 : text(b) ? 1 : 0; // what was not measured stands last
      const numbers = [Number(text(a)), Number(text(b))];
      const order = numbers.some(Number.isNaN) ? text(a).localeCompare(text(b)) : numbers[0] - numbers[1];
      return up ? order : -order;
    };
    const body = table.tBodies[0];
    body.append(...[...body.rows].sort(compare));
  }

  for (const table of document.querySelectorAll("table.sortable"))
    table.querySelectorAll("thead th").forEach((header, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...header.childNodes);
      button.addEventListener("click", () => sortBy(table, column, header));
      header.append(button);
    });
  // The slider goes from one loss at which an answer changes to the next; the number may be any loss.
  range?.addEventListener("input", () => { number.value = page.losses[range.value]; choose(Number(number.value)); });
  number?.addEventListener("input", () => {
    range.value = Math.max(0, page.losses.findLastIndex((loss) => loss <= Number(number.value)));
    choose(Number(number.value));
  });
  byId("controls")?.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", (event) => { if (event.target.type === "checkbox") apply(); });
  form.addEventListener("reset", () => setTimeout(apply));
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("beforeprint", () => { for (const part of document.querySelectorAll("details.prints")) part.open = true; });

  apply();
  Promise.all([...document.querySelectorAll("[data-plot]")].map(draw)).then(
    () => { apply(); document.documentElement.dataset.ready = "yes"; });
})();
