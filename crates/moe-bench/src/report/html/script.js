"use strict";
// Tables are sorted by a click on a head.
const value = (cell) => {
  const text = cell.textContent.trim();
  const number = /^[<>]?\s*([+-]?\d[\d.]*(?:e[+-]?\d+)?)/i.exec(text);
  return number ? Number(number[1]) : text === "-" ? NaN : text;
};
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  if (body.rows.length < 2) continue;
  heads.forEach((head, column) => {
    head.classList.add("sortable");
    head.tabIndex = 0;
    const sort = () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const order = (a, b) => {
        const [x, y] = [a, b].map((row) => value(row.cells[column]));
        const [lostX, lostY] = [x, y].map((one) => typeof one === "number" && Number.isNaN(one));
        if (lostX || lostY) return lostX - lostY;
        const sign = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y));
        return up ? sign : -sign;
      };
      body.append(...[...body.rows].sort(order));
    };
    head.addEventListener("click", sort);
    head.addEventListener("keydown", (event) => {
      if (event.key === "Enter") sort();
    });
  });
}
// A click on a router shows it alone, another one all again.
for (const keys of document.querySelectorAll(".keys")) {
  const plots = keys.nextElementSibling;
  const items = [...keys.children];
  const mark = (item) => item.style.getPropertyValue("--c").trim() + (item.classList.contains("dashed") ? " dashed" : "");
  const markOf = (shape) => {
    const colour = [shape.getAttribute("stroke"), shape.getAttribute("fill")].find((c) => c && c.startsWith("var(--c"));
    return colour && colour + (shape.hasAttribute("stroke-dasharray") ? " dashed" : "");
  };
  let shown = null;
  items.forEach((item) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = item.textContent;
    item.replaceChildren(button);
    button.addEventListener("click", () => {
      shown = shown === item ? null : item;
      items.forEach((other) => other.classList.toggle("off", shown !== null && other !== shown));
      for (const shape of plots.querySelectorAll("polyline, polygon, circle")) {
        const own = markOf(shape);
        const fits = shown === null || own === mark(shown) || (shape.tagName !== "polyline" && own === shown.style.getPropertyValue("--c").trim());
        shape.classList.toggle("dim", Boolean(own) && !fits);
      }
    });
  });
}
