"use strict";
// The page is complete without this script: it only replaces still pictures by figures that answer,
// lets tables be sorted, and adds the theme and copy buttons.
(() => {
  const root = document.documentElement;
  const INK = "#1f2a2e", PAPER = "#ffffff";
  const BRIGHTER = { "#0072B2": "#5db7ea", "#D55E00": "#ff9350" }; // the same hues, legible as text on black
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const systemDark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : systemDark.matches);

  // ---- plotly, inflated once, when the first figure comes near -------------------------------------------------
  let loading = null;
  const loadPlotly = () => (loading ??= inflate().then((source) => {
    const script = document.createElement("script");
    script.textContent = source;
    document.head.append(script);
    if (!window.Plotly) throw new Error("plotly did not start");
  }));
  async function inflate() {
    const packed = atob(document.getElementById("plotly").textContent);
    const bytes = Uint8Array.from(packed, (sign) => sign.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  }
  function showStills(error) {
    root.classList.add("stills");
    for (const controls of document.querySelectorAll(".controls")) controls.hidden = true;
    const note = document.getElementById("plain");
    note.textContent = "This browser cannot show the interactive figures (" + error.message +
      "); still pictures stand in their place. A browser from 2023 or later shows them.";
    note.hidden = false;
  }

  // ---- figures -------------------------------------------------------------------------------------------------
  const figures = new Map();
  const near = "IntersectionObserver" in window && new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) { near.unobserve(entry.target); draw(figures.get(entry.target)); }
  }, { rootMargin: "500px 0px" });

  for (const element of document.querySelectorAll(".panel[data-proportion]")) {
    const figure = {
      element, plot: element.querySelector(".plot"), status: element.querySelector(".status"), finding: element.querySelector(".finding"), data: null,
      kind: element.querySelector("[data-kind][aria-pressed=true]")?.dataset.kind ?? "",
      quantity: element.querySelector("[data-quantity][aria-pressed=true]")?.dataset.quantity, turning: 0, camera: null,
    };
    figures.set(element, figure);
    figure.plot.style.minHeight = size(figure).height + "px";
    element.style.setProperty("--height", size(figure).height + "px");
    const controls = element.querySelector(".controls");
    if (controls) { controls.hidden = false; controls.addEventListener("click", (event) => press(figure, event.target.closest("button"))); }
    if (near) near.observe(element); else draw(figure);
  }

  function size(figure) {
    const width = figure.plot.clientWidth || 340;
    const fixed = Number(figure.element.dataset.height ?? 0);
    if (fixed) return { width, height: fixed + (width < 430 ? 60 : 0) };
    const share = figure.kind === "surface3d" ? 0.82 : Number(figure.element.dataset.proportion);
    return { width, height: Math.round(Math.min(Math.max(width * share + (width < 430 ? 110 : 0), 300), 660)) };
  }

  async function draw(figure) {
    try { await loadPlotly(); } catch (error) { showStills(error); return; }
    figure.data ??= JSON.parse(figure.element.querySelector("script.data").textContent);
    const quantity = figure.quantity ?? Object.keys(figure.data.views)[0].split("|")[1];
    const view = themed(resolve(figure.data.views[figure.kind + "|" + quantity], figure.data.arrays));
    const { width, height } = size(figure);
    const layout = { ...view.layout, width, height };
    if (layout.title?.text) { // the finding is text of the page: it wraps on a phone and can be selected
      figure.finding.textContent = plain(layout.title.text);
      layout.margin = { ...layout.margin, t: 30 };
    }
    if (view.layout.meta?.bare) layout.margin = { ...layout.margin, t: 12 }; // neither legend nor heading lies above
    delete layout.title;
    const colours = width < 430 ? narrow(view.data, layout, figure.kind) : "";
    if (figure.kind === "surface3d") {
      if (figure.camera) layout.scene.camera = figure.camera;
    } else if (matchMedia("(pointer: coarse)").matches) {
      layout.dragmode = false; // a finger scrolls the page
    }
    const config = {
      displaylogo: false, responsive: false, showSendToCloud: false, plotlyServerURL: "", displayModeBar: width < 430 ? false : "hover", topojsonURL: "",
      modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "resetCameraLastSave3d", "orbitRotation", "tableRotation"],
      toImageButtonOptions: { format: figure.kind === "surface3d" ? "png" : "svg", filename: figure.element.id },
    };
    await Plotly.react(figure.plot, view.data, layout, config);
    figure.plot.style.minHeight = "";
    figure.element.dataset.drawn = figure.kind + "|" + quantity;
    if (figure.kind === "surface3d") {
      figure.status.textContent = colours + " Drag to rotate, scroll to zoom. " + plain(view.layout.meta?.axes ?? "");
      if (!figure.listening) {
        figure.listening = true;
        figure.plot.on("plotly_relayout", (change) => { if (change["scene.camera"]) figure.camera = change["scene.camera"]; });
      }
    } else figure.status.textContent = colours;
  }

  // References into the pool become arrays; ink and paper become those of the theme.
  function resolve(value, arrays) {
    if (Array.isArray(value)) return value.map((item) => resolve(item, arrays));
    if (value === null || typeof value !== "object") return value;
    if ("$" in value) return { ...arrays[value.$] };
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, resolve(item, arrays)]));
  }
  function themed(view) {
    const style = getComputedStyle(root), ink = style.getPropertyValue("--ink").trim(), sheet = style.getPropertyValue("--sheet").trim();
    const dark = isDark();
    const swap = (value) => {
      if (value === INK) return ink;
      if (value === PAPER) return sheet;
      if (dark && typeof value === "string" && value in BRIGHTER) return BRIGHTER[value];
      if (Array.isArray(value)) return value.map(swap);
      if (value === null || typeof value !== "object") return value;
      return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, swap(item)]));
    };
    const swapped = swap(view);
    swapped.layout.paper_bgcolor = swapped.layout.plot_bgcolor = "rgba(0,0,0,0)";
    swapped.layout.hoverlabel = { ...swapped.layout.hoverlabel, bgcolor: sheet, bordercolor: ink, font: { ...swapped.layout.hoverlabel?.font, color: ink } };
    return swapped;
  }
  // On a phone the colour bar lies below the picture, so that the picture keeps the width.
  function narrow(data, layout, kind) {
    layout.font = { ...layout.font, size: 11.5 };
    layout.legend = { ...layout.legend, font: { size: 11 } };
    const bars = data.filter((trace) => trace.colorbar && trace.showscale !== false);
    if (layout.meta?.bare && layout.yaxis2) layout.yaxis = { ...layout.yaxis, tickfont: { size: 9.5 } }; // names of layers are long
    layout.margin = { ...layout.margin, l: kind === "surface3d" ? 0 : 48, r: kind === "surface3d" ? 0 : layout.yaxis2?.overlaying ? 48 : 8 };
    if (!bars.length) return "";
    layout.margin.b = (layout.margin.b || 0) + 48;
    const shown = bars[0].colorbar.title?.text ?? "";
    for (const trace of bars) {
      trace.colorbar = {
        ...trace.colorbar, orientation: "h", thickness: 10, len: 1, x: 0.5, xanchor: "center", y: 0.01, yanchor: "bottom",
        yref: "container", title: { text: "" },
      };
    }
    return "Colours show " + plain(shown.replaceAll("<br>", " ")) + ".";
  }
  const plain = (markup) => new DOMParser().parseFromString(markup, "text/html").body.textContent;

  function hasWebGL() {
    const canvas = document.createElement("canvas");
    const context = canvas.getContext("webgl2") || canvas.getContext("webgl");
    context?.getExtension("WEBGL_lose_context")?.loseContext(); // browsers grant only a few at a time
    return Boolean(context);
  }

  // The place from which the reader looks now. Plotly tells of a change only once a drag has settled, which on a
  // slow machine is after the next press; its scene knows at once.
  const liveCamera = (figure) => figure.plot._fullLayout?.scene?._scene?.getCamera?.() ?? figure.camera;

  function press(figure, button) {
    if (!button) return;
    if (button.classList.contains("turn")) { turn(figure, button); return; }
    if (button.dataset.kind === "surface3d" && !hasWebGL()) {
      figure.status.textContent = "The 3-D view needs WebGL, which this browser does not offer here; the map stays.";
      return;
    }
    if (figure.kind === "surface3d") figure.camera = liveCamera(figure);
    if (button.dataset.kind && button.dataset.kind !== figure.kind) {
      stop(figure);
      figure.kind = button.dataset.kind;
      if (window.Plotly) Plotly.purge(figure.plot); // gives the WebGL context back
      figure.listening = false;
    }
    if (button.dataset.quantity) figure.quantity = button.dataset.quantity;
    for (const other of button.parentElement.children) other.setAttribute("aria-pressed", String(other === button));
    const turner = figure.element.querySelector(".turn");
    turner.hidden = figure.kind !== "surface3d";
    turner.textContent = calm.matches ? "Turn by 30°" : "Turn slowly";
    draw(figure);
  }

  function turnBy(figure, angle) {
    const camera = liveCamera(figure) ?? figure.plot.layout.scene.camera, { x, y, z } = camera.eye;
    const eye = { x: x * Math.cos(angle) - y * Math.sin(angle), y: x * Math.sin(angle) + y * Math.cos(angle), z };
    figure.camera = { ...camera, eye };
    return Plotly.relayout(figure.plot, { "scene.camera": figure.camera });
  }
  function turn(figure, button) {
    if (calm.matches) { turnBy(figure, Math.PI / 6); return; }
    if (figure.turning) { stop(figure); return; }
    button.setAttribute("aria-pressed", "true");
    const token = (figure.turning = Date.now());
    let before = performance.now();
    const step = async (now) => {
      if (figure.turning !== token) return;
      const angle = Math.min((now - before) / 1000, 0.1) * 0.35; // about 18 seconds for a full turn
      before = now;
      if (!document.hidden) await turnBy(figure, angle);
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
    figure.plot.addEventListener("pointerdown", () => stop(figure), { once: true });
  }
  function stop(figure) {
    figure.turning = 0;
    figure.element.querySelector(".turn")?.setAttribute("aria-pressed", "false");
  }

  const redraw = () => { for (const figure of figures.values()) if (figure.element.dataset.drawn) draw(figure); };
  let width = innerWidth, waiting = 0;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(redraw, 150);
  });

  // ---- theme ---------------------------------------------------------------------------------------------------
  const theme = document.querySelector(".theme");
  const name = () => { theme.textContent = isDark() ? "Light" : "Dark"; theme.setAttribute("aria-label", "Switch to " + theme.textContent.toLowerCase() + " colours"); };
  theme.hidden = false;
  name();
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("orograph-theme", root.dataset.theme); } catch { /* not kept, then */ }
    name();
    redraw();
  });
  systemDark.addEventListener("change", () => { name(); redraw(); });

  // ---- tables --------------------------------------------------------------------------------------------------
  for (const table of document.querySelectorAll(".table table")) {
    const headers = [...table.tHead.rows[0].cells], body = table.tBodies[0];
    headers.forEach((header, column) => header.querySelector("button").addEventListener("click", () => {
      const falling = header.getAttribute("aria-sort") === "ascending";
      for (const other of headers) other.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", falling ? "descending" : "ascending");
      const numeric = header.classList.contains("number"), key = (row) => row.cells[column].dataset.sort;
      const compare = (a, b) => {
        const [left, right] = [key(a), key(b)];
        if (left === "" || right === "") return (left === "") - (right === ""); // nothing comes last either way
        const order = numeric ? (Number(left) > Number(right)) - (Number(left) < Number(right)) : left.localeCompare(right, undefined, { numeric: true });
        return falling ? -order : order;
      };
      body.append(...[...body.rows].sort(compare));
    }));
  }

  // ---- copying: the citation, and what a finding says to type ---------------------------------------------------
  for (const copy of document.querySelectorAll(".copy")) {
    const entry = copy.parentElement.querySelector("pre"), words = copy.textContent;
    copy.hidden = false;
    copy.addEventListener("click", async () => {
      let done = true;
      try { await navigator.clipboard.writeText(entry.textContent); } catch {
        const range = document.createRange();
        range.selectNodeContents(entry);
        getSelection().removeAllRanges();
        getSelection().addRange(range);
        done = document.execCommand("copy");
      }
      copy.textContent = done ? "Copied" : "Selected: press Ctrl+C";
      setTimeout(() => { copy.textContent = words; }, 2500);
    });
  }

  // ---- print: closed details are opened, and closed again -------------------------------------------------------
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const details of opened) details.open = true;
  });
  addEventListener("afterprint", () => { for (const details of opened) details.open = false; });
})();
