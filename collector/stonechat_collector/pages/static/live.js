// What the pages gain from a script: local times, fields that apply themselves, and live updates in which nothing
// jumps. A page is made by the server alone; an update fetches the same address again and takes over what differs.
"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  const body = document.body;
  // The server's clock, kept going by ours: a browser whose clock is wrong still says "4 min ago" rightly.
  let offset = body.dataset.now ? Number(body.dataset.now) - Date.now() : 0;
  const now = () => Date.now() + offset;

  // Times -----------------------------------------------------------------------------------------------------------
  const two = (n) => String(n).padStart(2, "0");
  const clock = (date) => `${two(date.getHours())}:${two(date.getMinutes())}`;
  const day = (date) => date.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
  const full = (date) =>
    `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${clock(date)}:${two(date.getSeconds())} ` +
    `(${date.toISOString().slice(0, 19).replace("T", " ")} UTC)`;
  const ago = (ms) => {
    const s = Math.round((now() - ms) / 1000);
    if (s >= -10 && s < 5) return "just now";
    const size = Math.abs(s);
    const span =
      size < 60 ? `${size} s`
      : size < 3600 ? `${Math.floor(size / 60)} min`
      : size < 172800 ? `${Math.floor(size / 3600)} h`
      : `${Math.floor(size / 86400)} d`;
    return s > 0 ? `${span} ago` : `in ${span}`;
  };
  const localise = (scope) => {
    for (const time of scope.querySelectorAll("time")) {
      const date = new Date(time.dateTime);
      if (Number.isNaN(date.getTime())) continue;
      let text = time.textContent;
      if ("ago" in time.dataset) text = ago(date.getTime());
      else if ("clock" in time.dataset) {
        const today = new Date(now()).toDateString() === date.toDateString();
        text = today ? clock(date) : `${day(date)} ${clock(date)}`;
      } else if ("seconds" in time.dataset) text = `${day(date)} ${clock(date)}:${two(date.getSeconds())}`;
      else if ("minute" in time.dataset) text = `${day(date)} ${clock(date)}`;
      if (text !== time.textContent) time.textContent = text;
      if (!time.dataset.local) {
        time.title = full(date);
        time.dataset.local = "1";
      }
    }
  };
  localise(document);
  setInterval(() => localise(document), 5000);

  // Fields that apply themselves ------------------------------------------------------------------------------------
  for (const form of document.querySelectorAll("form[data-auto]")) {
    form.addEventListener("change", (event) => {
      if (event.target.matches("select")) form.requestSubmit();
    });
    // Empty fields stay out of the address, so that a link says only what was chosen.
    form.addEventListener("formdata", (event) => {
      for (const [name, value] of [...event.formData]) if (value === "") event.formData.delete(name);
    });
  }
  for (const button of document.querySelectorAll("[data-copy]")) {
    if (!navigator.clipboard) continue;
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
      button.textContent = "Copied";
      say("The command was copied.");
    });
  }

  // The strip by keyboard: one stop for Tab, arrows inside -----------------------------------------------------------
  const cells = () => [...document.querySelectorAll("#cohorts .c")];
  const rove = (wanted) => {
    const all = cells();
    if (!all.length) return;
    const target = wanted || all.find((cell) => cell.tabIndex === 0 && cell.hasAttribute("tabindex")) || all[0];
    for (const cell of all) cell.tabIndex = cell === target ? 0 : -1;
  };
  const above = (from, all, way) => {
    const here = from.getBoundingClientRect();
    let best = null;
    let least = Infinity;
    for (const cell of all) {
      const box = cell.getBoundingClientRect();
      const down = (box.top - here.top) * way;
      if (down < 4) continue;
      const distance = down * 4 + Math.abs(box.left - here.left);
      if (distance < least) [best, least] = [cell, distance];
    }
    return best;
  };
  document.getElementById("cohorts")?.addEventListener("keydown", (event) => {
    const cell = event.target.closest(".c");
    if (!cell || event.ctrlKey || event.metaKey || event.altKey) return;
    const all = cells();
    const index = all.indexOf(cell);
    const next = {
      ArrowRight: () => all[index + 1],
      ArrowLeft: () => all[index - 1],
      ArrowDown: () => above(cell, all, 1),
      ArrowUp: () => above(cell, all, -1),
      Home: () => all[0],
      End: () => all[all.length - 1],
    }[event.key]?.();
    if (!next) return;
    event.preventDefault();
    rove(next);
    next.focus();
  });
  rove();

  // Live ------------------------------------------------------------------------------------------------------------
  const said = document.getElementById("said");
  const say = (text) => { if (said.textContent !== text) said.textContent = text; };
  const state = document.getElementById("state");
  const tell = (text, title) => { if (state) { state.textContent = text; state.title = title || ""; } };

  const retry = document.getElementById("retry");
  if (retry) setTimeout(() => location.reload(), Number(retry.dataset.seconds) * 1000);
  if (!("live" in body.dataset)) return;

  // Structure (rows that come, go or move) changes only while nobody is reading with their hands: a row never slips
  // away under a pointer. A screen on a wall is always idle, so it is always current.
  const IDLE = 8000;
  let touched = 0;
  for (const kind of ["pointermove", "pointerdown", "keydown", "wheel", "touchstart", "focusin"]) {
    addEventListener(kind, () => { touched = Date.now(); }, { passive: true, capture: true });
  }
  const idle = () => Date.now() - touched > IDLE;

  const mark = (element) => {
    element.classList.remove("changed");
    void element.offsetWidth;
    element.classList.add("changed");
  };
  const own = (element) => {
    // What the script changed by itself (local times) is no difference.
    const copy = element.cloneNode(true);
    for (const time of copy.querySelectorAll("time")) time.replaceWith(time.dateTime);
    for (const cell of copy.querySelectorAll("[tabindex]")) cell.removeAttribute("tabindex");
    return copy.innerHTML;
  };
  const adopt = (mine, theirs) => {
    if (own(mine) === own(theirs)) return false;
    mine.replaceChildren(...theirs.childNodes);
    return true;
  };
  const inUse = (element) => element.contains(document.activeElement) && document.activeElement !== body;

  let waiting = false;
  const merge = (fresh) => {
    document.title = fresh.title;
    if (fresh.body.dataset.now) offset = Number(fresh.body.dataset.now) - Date.now();
    // From the empty page to the first device, or into an error: another page altogether.
    const kind = (page) => page.querySelector("#devices, [data-part=empty], [data-part=device]")?.id ?? "";
    const part = (page) => (page.querySelector("[data-part=empty]") ? "empty" : kind(page));
    if (part(fresh) !== part(document)) { location.reload(); return; }

    const before = document.getElementById("answer")?.textContent;
    let late = false;
    for (const mine of document.querySelectorAll("[data-part]:not([data-structure])")) {
      const theirs = fresh.querySelector(`[data-part="${CSS.escape(mine.dataset.part)}"]`);
      if (!theirs || inUse(mine)) continue;
      if ("idle" in mine.dataset && !idle()) {
        late ||= own(mine) !== own(theirs);
        continue;
      }
      const known = new Set([...mine.querySelectorAll("[data-row]")].map((row) => row.dataset.row));
      if (!adopt(mine, theirs)) continue;
      for (const row of mine.querySelectorAll("[data-row]")) if (!known.has(row.dataset.row)) mark(row);
    }
    const answer = document.getElementById("answer")?.textContent;
    if (answer && answer !== before) say(answer);

    const theirCells = new Map([...fresh.querySelectorAll("[data-cell]")].map((cell) => [cell.dataset.cell, cell]));
    for (const cell of document.querySelectorAll("[data-cell]")) {
      const theirs = theirCells.get(cell.dataset.cell);
      if (!theirs || theirs.title === cell.title) continue;
      if (theirs.className !== cell.className.replace(" changed", "")) {
        cell.className = theirs.className;
        mark(cell);
      }
      cell.title = theirs.title;
      cell.setAttribute("aria-label", theirs.title);
    }
    const theirRows = new Map([...fresh.querySelectorAll("[data-device]")].map((row) => [row.dataset.device, row]));
    for (const row of document.querySelectorAll("[data-device]")) {
      const theirs = theirRows.get(row.dataset.device);
      if (theirs && !inUse(row) && adopt(row, theirs.cloneNode(true))) mark(row);
    }
    waiting = !structure(fresh) || late;
    localise(document);
    document.dispatchEvent(new CustomEvent("stonechat:fresh", { detail: fresh }));
  };

  const order = (page) => [...page.querySelectorAll("[data-device]")].map((row) => row.dataset.device).join(" ");
  const layout = (page) =>
    [...page.querySelectorAll("#cohorts .cells")].map((group) =>
      [...group.children].map((cell) => cell.dataset.cell ?? cell.className).join(" ")).join("|");
  const structure = (fresh) => {
    const sections = ["#cohorts", "tbody[role]"];
    const differs = [
      layout(fresh) !== layout(document),
      order(fresh) !== order(document),
    ];
    const mine = document.querySelector("[data-structure]");
    const theirs = fresh.querySelector("[data-structure]");
    const needs = (mine ? own(mine) : "") !== (theirs ? own(theirs) : "");
    if (!needs && !differs.some(Boolean)) return true;
    if (!idle()) return false;
    if (needs && !(mine && inUse(mine))) {
      if (mine && theirs) mine.replaceChildren(...theirs.childNodes);
      else if (mine) mine.remove();
      else document.querySelector(".head").after(theirs);
    }
    sections.forEach((selector, index) => {
      const part = document.querySelector(selector);
      const other = fresh.querySelector(selector);
      if (!differs[index] || !part || !other || inUse(part)) return;
      part.className = other.className;
      part.replaceChildren(...other.childNodes);
    });
    rove();
    return true;
  };

  const rows = document.querySelectorAll("[data-cell]").length;
  const pause = rows > 500 ? 10000 : 2000;
  let last = Date.now();
  let timer = 0;
  let busy = false;
  const refresh = async () => {
    timer = 0;
    if (busy || document.hidden) { soon(); return; }
    busy = true;
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" }, cache: "no-store" });
      if (!answer.ok) throw new Error(String(answer.status));
      merge(new DOMParser().parseFromString(await answer.text(), "text/html"));
      tell(`live · ${clock(new Date())}`, `updated ${full(new Date())}`);
    } catch {
      tell("not live: the collector does not answer", "trying again");
      soon(10000);
    } finally {
      busy = false;
      last = Date.now();
    }
    if (waiting) soon(IDLE);
  };
  const soon = (least = 0) => {
    if (timer) return;
    timer = setTimeout(refresh, Math.max(least, pause - (Date.now() - last), 200));
  };
  const device = body.querySelector("[data-part=device]")?.dataset.name;
  const concerns = (text) => {
    if (!device) return true;
    try {
      const data = JSON.parse(text);
      return data.cut || (data.devices ?? data.events.map((event) => event.device)).includes(device);
    } catch {
      return true;
    }
  };
  const stream = new EventSource("/api/v1/stream");
  stream.onopen = () => { tell("live", "updates come by themselves"); if (Date.now() - last > pause) soon(); };
  stream.onerror = () => {
    // A collector with too many clients refuses the stream; looking again every some seconds does as well.
    if (stream.readyState === EventSource.CLOSED) tell("updates every 15 s", "the collector has no free stream");
    else tell("connecting …", "the collector's stream is not open; trying again");
  };
  const heard = (event) => { if (concerns(event.data)) soon(); };
  for (const name of ["devices", "events"]) stream.addEventListener(name, heard);
  // Silence is news too: a device that says nothing turns offline without an event of its own.
  setInterval(soon, 15000);
  addEventListener("visibilitychange", () => { if (!document.hidden) soon(); });
})();
