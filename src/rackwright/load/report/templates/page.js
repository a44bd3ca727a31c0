"use strict";
// The page says everything without this; it adds reading values under the pointer, sorting, and a switch of colours.
(() => {
  const say = (value, unit) => {
    const digits = (number) => (Math.abs(number) >= 100 ? Math.round(number).toLocaleString("en") : String(Number(number.toPrecision(3))));
    if (unit === "seconds") {
      const [size, word] = value >= 1 ? [1, "s"] : value >= 1e-3 ? [1e-3, "ms"] : value > 0 ? [1e-6, "µs"] : [1, "s"];
      return `${digits(value / size)} ${word}`;
    }
    return digits(value) + ({ "per second": "/s", "percent": " %" }[unit] ?? "");
  };

  const nearest = (times, time) => {
    let low = 0, high = times.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (times[middle] < time) low = middle; else high = middle;
    }
    return Math.abs(times[low] - time) <= Math.abs(times[high] - time) ? low : high;
  };

  const read = (values, part) => {
    const time = Math.min(Math.max((part * values.width - values.left) / (values.right - values.left), 0), 1) * values.length;
    const told = values.lines.filter((line) => line.times.length).map((line) => {
      const value = line.values[nearest(line.times, time)];
      return `${line.name} ${value === null ? "–" : say(value, values.unit)}`;
    });
    const when = values.names.length ? values.names[Math.min(Math.floor(time), values.names.length - 1)] : `${Math.floor(time)} s`;
    return `${when}: ${told.join(", ")}`;
  };

  // Charts may come and go: what is read out of one is found when the pointer is over it.
  const known = new WeakMap();
  const valuesOf = (figure) => {
    if (!known.has(figure)) {
      const data = figure.querySelector("script"), pointer = document.createElementNS("http://www.w3.org/2000/svg", "path");
      pointer.setAttribute("class", "pointer");
      if (data) figure.querySelector(":scope > svg").append(pointer);
      known.set(figure, data && { ...JSON.parse(data.textContent), pointer });
    }
    return known.get(figure);
  };

  let shown = null;
  const forget = () => {
    if (!shown) return;
    shown.querySelector("output").textContent = "";
    valuesOf(shown).pointer.removeAttribute("d");
    shown = null;
  };
  const point = (drawing, at) => {
    const figure = drawing?.closest("figure.chart"), values = figure && valuesOf(figure);
    if (shown !== figure) forget();
    if (!values) return;
    const box = drawing.getBoundingClientRect(), part = (at - box.left) / box.width;
    const x = Math.min(Math.max(part * values.width, values.left), values.right);
    values.pointer.setAttribute("d", `M${x} ${values.top}V${values.bottom}`);
    figure.querySelector("output").textContent = read(values, part);
    shown = figure;
  };
  const drawingAt = (target) => target instanceof Element && target.closest("figure.chart > svg");
  let last = [-1, -1];
  document.addEventListener("pointermove", (event) => {
    last = [event.clientX, event.clientY];
    point(drawingAt(event.target) || null, event.clientX);
  });
  document.addEventListener("redrawn", () => point(drawingAt(document.elementFromPoint(...last)) || null, last[0]));
  document.documentElement.addEventListener("pointerleave", forget);

  const sort = (table, column, button) => {
    const rows = [...table.tBodies[0].rows];
    const down = button.parentElement.getAttribute("aria-sort") !== "descending";
    const key = (row) => Number(row.cells[column].dataset.value);
    rows.sort((one, other) => (down ? key(other) - key(one) : key(one) - key(other)));
    table.tBodies[0].append(...rows);
    for (const cell of table.tHead.rows[0].cells) cell.removeAttribute("aria-sort");
    button.parentElement.setAttribute("aria-sort", down ? "descending" : "ascending");
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((cell, column) => {
      if (!cell.classList.contains("n")) return;
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = cell.textContent;
      button.addEventListener("click", () => sort(table, column, button));
      cell.replaceChildren(button);
    });
  }

  const theme = document.getElementById("theme"), root = document.documentElement;
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
})();
