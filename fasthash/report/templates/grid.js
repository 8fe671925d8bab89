"use strict";
// A click on a result makes it the query of its row.
for (const data of document.querySelectorAll("script.grid")) {
  const { album, nearest, titles } = JSON.parse(data.textContent);
  const list = document.getElementById(data.dataset.for);
  const said = list.parentElement.querySelector(".said");

  const element = (name, className, text) => {
    const made = document.createElement(name);
    made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };

  const picture = (row, label) => {
    const space = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(space, "svg");
    const use = document.createElementNS(space, "use");
    for (const [name, value] of [["class", "picture"], ["viewBox", "0 0 1 1"], ["role", "img"], ["aria-label", label]]) {
      svg.setAttribute(name, value);
    }
    use.setAttribute("href", `#p${album}-${row}`);
    svg.append(use);
    return svg;
  };

  const show = (place, path) => {
    const query = path[path.length - 1];
    place.dataset.query = query;
    const left = element("div", "query");
    left.append(picture(query, `query: ${titles[query]}, row ${query}`), element("span", "caption", titles[query]));
    const found = element("div", "found");
    for (const [row, distance, relevant] of nearest[query]) {
      const opens = row in nearest;
      const item = element(opens ? "button" : "span", `item ${relevant ? "hit" : "miss"}`);
      const label = `${titles[row]}, row ${row}, ${distance} bits, ${relevant ? "relevant" : "not relevant"}`;
      item.dataset.row = row;
      item.title = opens ? `${label}: make it the query` : label;
      const mark = element("span", "mark", relevant ? "\u2713" : "\u2717");
      mark.setAttribute("aria-hidden", "true");
      item.append(picture(row, label), mark);
      item.append(element("span", "caption", titles[row]), element("span", "caption", `${distance} bits`));
      if (opens) {
        item.type = "button";
        item.addEventListener("click", () => move(place, [...path, row]));
      }
      found.append(item);
    }
    place.replaceChildren(left, found);
    if (path.length > 1) {
      const back = element("button", "back", "\u2190 back");
      back.type = "button";
      back.addEventListener("click", () => move(place, path.slice(0, -1)));
      left.append(back);
    }
  };

  const move = (place, path) => {
    show(place, path);
    const query = path[path.length - 1];
    said.textContent = `Query is now ${titles[query]}, row ${query}.`;
    (place.querySelector(".back") || place.querySelector("button"))?.focus();
  };

  for (const place of list.children) show(place, [Number(place.dataset.query)]);
}
document.documentElement.classList.add("scripted");
// On paper all is open.
window.addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
