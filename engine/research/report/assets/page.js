"use strict";
// Draws what the payload describes in the colours of the page, and makes the trade list sortable.
(() => {
  const payload = JSON.parse(document.getElementById("payload").textContent);
  const byId = (id) => document.getElementById(id);
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // Colour names such as "--gain" become the colour of the reader's theme; long lists of numbers are passed on.
  function themed(value) {
    if (typeof value === "string") return value.startsWith("--") ? colour(value) : value;
    if (Array.isArray(value)) return typeof value[0] === "number" ? value : value.map(themed);
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, themed(inner)]));
    }
    return value;
  }

  function layoutOf(own) {
    const axis = {
      gridcolor: colour("--grid"), zerolinecolor: colour("--faint"), linecolor: colour("--rule"), automargin: true,
      tickfont: { color: colour("--soft"), size: 12 }, fixedrange: false, zeroline: false, tickcolor: "rgba(0,0,0,0)",
    };
    const font = { family: getComputedStyle(document.body).fontFamily, size: 12.5, color: colour("--soft") };
    return {
      font, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: { l: 8, r: 12, t: 14, b: 8 },
      showlegend: false, hovermode: "closest", dragmode: "zoom",
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", bgcolor: "rgba(0,0,0,0)", font: { size: 12.5 } },
      hoverlabel: { bgcolor: colour("--card"), bordercolor: colour("--faint"), font: { color: colour("--ink"), family: font.family } },
      ...own,
      xaxis: { ...axis, showgrid: false, ...own.xaxis },
      yaxis: { ...axis, zeroline: true, ...own.yaxis },
    };
  }

  function draw(place, chart) {
    const { data, layout } = themed(chart);
    Plotly.react(place, data, layoutOf(layout), { displayModeBar: false, responsive: true, scrollZoom: false });
  }

  function drawPrice() {
    if (byId("price")) draw(byId("price"), payload.prices[byId("symbol").value]);
  }

  function drawAll() {
    for (const place of document.querySelectorAll("[data-chart]")) draw(place, payload.charts[place.dataset.chart]);
    drawPrice();
  }

  // ---- trade list ----
  const money = (value) => {
    const text = "$" + Math.abs(value).toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
    return value < 0 && text !== "$0.00" ? "−" + text : text;
  };
  const held = (seconds) => {
    const minutes = Math.round(seconds / 60);
    if (minutes < 60) return minutes + " min";
    const hours = Math.floor(minutes / 60);
    return hours < 24 ? hours + " h " + (minutes % 60) + " min" : Math.floor(hours / 24) + " d " + (hours % 24) + " h";
  };
  const moment = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ");
  const same = (value) => value;
  // [head, index in the row, how it is written, set to the right, coloured by sign]
  const COLUMNS = [
    ["#", 0, same, true], ["Symbol", 1, same], ["Side", 2, same], ["Net", 12, money, true, true],
    ["R", 13, (r) => (r === null ? "–" : r.toFixed(2).replace("-", "−")), true, true], ["Exit reason", 14, same],
    ["Opened, UTC", 3, moment], ["Held", 4, held, true], ["Entry", 5, same, true], ["Exit", 6, same, true],
    ["Stop", 7, same, true], ["Quantity", 8, same, true], ["Gross", 9, money, true], ["Slippage", 15, money, true],
    ["Fees", 10, money, true], ["Funding", 11, money, true], ["Market", 16, same],
    ["Forecast", 17, (value) => value ?? "–", true], ["Hour", 18, same, true],
  ];
  const PAGE = 25, SYMBOL = 1, SIDE = 2, NET = 12, REASON = 14, MARKET = 16;
  const TEXT = new Set([SYMBOL, SIDE, REASON, MARKET]);
  const view = { column: 3, down: true, page: 0 };

  function chosen() {
    const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const reason = byId("reason").value, outcome = byId("outcome").value;
    const kept = payload.trades.filter((row) => {
      if (reason && row[REASON] !== reason) return false;
      if (outcome && (outcome === "won") !== row[NET] > 0) return false;
      const text = (row[SYMBOL] + " " + row[SIDE] + " " + row[REASON] + " " + row[MARKET]).toLowerCase();
      return words.every((word) => text.includes(word));
    });
    const key = TEXT.has(view.column) ? (row) => row[view.column] : (row) => Number(row[view.column] ?? -Infinity);
    const order = view.down ? -1 : 1;
    return kept.sort((a, b) => (key(a) < key(b) ? -order : key(a) > key(b) ? order : a[0] - b[0]));
  }

  function cell(row, [, index, write, right, signed]) {
    const made = document.createElement("td");
    made.textContent = write(row[index]);
    made.className = (right ? "n" : "") + (signed && row[index] ? (row[index] > 0 ? " up" : " down") : "");
    return made;
  }

  function list() {
    const rows = chosen();
    const pages = Math.max(1, Math.ceil(rows.length / PAGE));
    view.page = Math.min(view.page, pages - 1);
    const body = byId("trade-table").tBodies[0];
    body.replaceChildren(...rows.slice(view.page * PAGE, view.page * PAGE + PAGE).map((row) => {
      const line = document.createElement("tr");
      line.append(...COLUMNS.map((column) => cell(row, column)));
      return line;
    }));
    const net = rows.reduce((sum, row) => sum + row[NET], 0);
    byId("count").textContent = rows.length.toLocaleString("en") + " trades, net " + money(net);
    byId("place").textContent = "Page " + (view.page + 1) + " of " + pages;
    byId("previous").disabled = view.page === 0;
    byId("next").disabled = view.page >= pages - 1;
    for (const head of byId("trade-table").tHead.rows[0].cells) {
      if (Number(head.dataset.column) === view.column) head.setAttribute("aria-sort", view.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
  }

  function heads() {
    const line = document.createElement("tr");
    for (const [word, index, , right] of COLUMNS) {
      const head = document.createElement("th");
      head.textContent = word;
      head.scope = "col";
      head.tabIndex = 0;
      head.dataset.column = index;
      if (right) head.className = "n";
      const sort = () => {
        view.down = view.column === index ? !view.down : !TEXT.has(index);
        view.column = index;
        view.page = 0;
        list();
      };
      head.addEventListener("click", sort);
      head.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        sort();
      });
      line.append(head);
    }
    byId("trade-table").tHead.append(line);
  }

  function startList() {
    if (!byId("trade-table")) return;
    heads();
    const reasons = [...new Set(payload.trades.map((row) => row[REASON]))].sort();
    byId("reason").append(new Option("every exit", ""), ...reasons.map((reason) => new Option(reason, reason)));
    for (const id of ["search", "reason", "outcome"]) {
      byId(id).addEventListener("input", () => { view.page = 0; list(); });
    }
    byId("previous").addEventListener("click", () => { view.page -= 1; list(); });
    byId("next").addEventListener("click", () => { view.page += 1; list(); });
    list();
  }

  startList();
  drawAll();
  if (byId("symbol")) byId("symbol").addEventListener("change", drawPrice);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
})();
