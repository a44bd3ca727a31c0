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

  const read = (figure, values, part) => {
    const time = Math.min(Math.max((part * values.width - values.left) / (values.right - values.left), 0), 1) * values.length;
    const told = values.lines.filter((line) => line.times.length).map((line) => {
      const value = line.values[nearest(line.times, time)];
      return `${line.name} ${value === null ? "–" : say(value, values.unit)}`;
    });
    const when = values.names.length ? values.names[Math.min(Math.floor(time), values.names.length - 1)] : `${Math.floor(time)} s`;
    figure.querySelector("output").textContent = `${when}: ${told.join(", ")}`;
  };

  for (const figure of document.querySelectorAll("figure.chart")) {
    const data = figure.querySelector("script"), drawing = figure.querySelector(":scope > svg");
    if (!data) continue;
    const values = JSON.parse(data.textContent);
    const pointer = document.createElementNS("http://www.w3.org/2000/svg", "path");
    pointer.setAttribute("class", "pointer");
    drawing.append(pointer);
    drawing.addEventListener("pointermove", (event) => {
      const box = drawing.getBoundingClientRect(), part = (event.clientX - box.left) / box.width;
      const x = Math.min(Math.max(part * values.width, values.left), values.right);
      pointer.setAttribute("d", `M${x} ${values.top}V${values.bottom}`);
      read(figure, values, part);
    });
    drawing.addEventListener("pointerleave", () => {
      pointer.removeAttribute("d");
      figure.querySelector("output").textContent = "";
    });
  }

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
