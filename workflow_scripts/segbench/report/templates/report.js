"use strict";
(() => {
  const page = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const form = byId("controls"), range = byId("loss"), number = byId("loss-number");
  const phone = matchMedia("(max-width: 600px)").matches;
  const views = {};
  document.documentElement.classList.add("scripted");

  // The answer, as facts.py has it: among rows that are shown.
  const known = (row) => row.time_s !== null && (!page.measure || row[page.measure] !== null);
  const value = (row) => (page.measure ? row[page.measure] : 0);
  const highest = (rows) => Math.max(...rows.map(value));
  const first = (rows, before) => rows.reduce((a, b) => (a === null || before(b, a) ? b : a), null);
  const within = (rows, loss) => rows.filter((row) => highest(rows) - value(row) <= loss + 1e-12);
  const fastest = (rows) => first(rows, (a, b) => a.time_s < b.time_s);
  const best = (rows) => first(rows, (a, b) => value(a) > value(b) || (value(a) === value(b) && a.time_s < b.time_s));

  function copy(kind, row, rows) {
    const made = byId(`${kind}-${row.id}`).content.cloneNode(true);
    const below = highest(rows) - value(row);
    for (const slot of made.querySelectorAll("[data-below]"))
      if (page.measure) slot.textContent = kind === "line" ? below.toFixed(4) : below > 0 ? `(${below.toFixed(4)} below the best)` : "(the best)";
    return made;
  }

  function put(place, row, rows, rivals) {
    if (!place) return;
    if (!row) { place.textContent = "No row that is shown has both figures."; return; }
    place.replaceChildren(copy("card", row, rows));
    const alike = rivals.filter((other) => other !== row && other.time_s_low !== null && row.time_s_high !== null &&
      other.time_s_low <= row.time_s_high && row.time_s_low <= other.time_s_high);
    if (alike.length) place.querySelector("[data-alike]").textContent =
      `No clear difference in time (95% intervals overlap): ${alike.map((other) => other.label).join("; ")}`;
  }

  function answer(rows) {
    const loss = number && number.value !== "" ? Number(number.value) : 0;
    const usable = rows.filter(known), eligible = within(usable, loss);
    put(byId("fastest"), fastest(eligible), usable, eligible);
    put(byId("best"), best(usable), usable, []);
    if (byId("loss-said")) byId("loss-said").textContent = String(loss);
    const body = document.querySelector("#by-model tbody");
    if (!body) return;
    const lines = [...new Set(usable.map((row) => row.model))].map((model) => {
      const own = usable.filter((row) => row.model === model);
      return copy("line", fastest(within(own, loss)), own);
    });
    body.replaceChildren(...lines);
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
    answer(rows);
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
  if (range) range.addEventListener("input", () => { number.value = range.value; answer(shownRows()); });
  if (number) number.addEventListener("input", () => { range.value = number.value; answer(shownRows()); });
  form.addEventListener("change", (event) => { if (event.target.type === "checkbox") apply(); });
  form.addEventListener("reset", () => setTimeout(apply));
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("beforeprint", () => { for (const part of document.querySelectorAll("details.prints")) part.open = true; });

  apply();
  Promise.all([...document.querySelectorAll("[data-plot]")].map(draw)).then(
    () => { apply(); document.documentElement.dataset.ready = "yes"; });
})();
