// The charts of a device: one time axis, one cursor over all of them, events as marks. The figures are those of the
// table on the page; dragging over a chart sets its span as the page's range.
"use strict";
(() => {
  const holder = document.getElementById("chart-data");
  if (!holder || !window.uPlot) return;
  let data = JSON.parse(holder.textContent);
  const at = document.getElementById("at");

  // Figures: as words.py writes them ---------------------------------------------------------------------------------
  const three = (value) => {
    if (value === 0) return "0";
    const rounded = Number(value.toPrecision(3));
    const places = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(rounded))));
    return rounded.toLocaleString("en-US", { minimumFractionDigits: places, maximumFractionDigits: places });
  };
  const plain = (value) => {
    const text = three(value);
    return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
  };
  const scaled = (value, unit, write) => {
    const size = Math.abs(value);
    if (unit === "s") {
      if (size === 0) return "0 s";
      if (size < 0.9995e-3) return `${write(value * 1e6)} µs`;
      if (size < 0.9995) return `${write(value * 1e3)} ms`;
      if (size < 119.95) return `${write(value)} s`;
      return `${write(value / 60)} min`;
    }
    if (unit === "By") {
      const steps = ["B", "KiB", "MiB", "GiB", "TiB"];
      let step = 0;
      while (Math.abs(value) >= 999.5 && step < 4) { value /= 1024; step += 1; }
      return `${write(value)} ${steps[step]}`;
    }
    if (unit === "1") return `${write(value * 100)} %`;
    if (unit === "Cel") return `${write(value)} °C`;
    if (unit === "{token}/s") return `${write(value)} tok/s`;
    if (size >= 1e6) return `${write(value / 1e6)} M`;
    if (size >= 1e4) return `${write(value / 1e3)} k`;
    return Number.isInteger(value) ? value.toLocaleString("en-US") : write(value);
  };
  const figure = (value, unit) => (value === null || value === undefined ? "–" : scaled(value, unit, three));
  const tick = (value, unit) => scaled(Number(value.toPrecision(6)), unit, plain);

  // Times ------------------------------------------------------------------------------------------------------------
  const two = (n) => String(n).padStart(2, "0");
  const clock = (date) => `${two(date.getHours())}:${two(date.getMinutes())}`;
  const day = (date) => date.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
  const moment = (seconds) => {
    const date = new Date(seconds * 1000);
    const span = data.step >= 86400 ? "1 day" : data.step >= 3600 ? `${data.step / 3600} h`
      : data.step >= 60 ? `${data.step / 60} min` : `${data.step} s`;
    const second = data.step < 60 ? `:${two(date.getSeconds())}` : "";
    return `${day(date)} ${clock(date)}${second}, ${span} from then`;
  };

  const style = () => {
    const css = getComputedStyle(document.documentElement);
    return (name) => css.getPropertyValue(`--${name}`).trim();
  };
  const alpha = (hex, part) => hex + Math.round(part * 255).toString(16).padStart(2, "0");
  const INKS = ["accent", "hot", "slow"];
  const DASHES = [undefined, [6, 4], [2, 3]];
  const BINARY = [...Array(44).keys()].map((power) => 2 ** power);

  // A value between two unknown ones would be invisible as a line: it gets a point.
  const alone = (plot, series) => {
    const values = plot.data[series];
    const found = [];
    for (let i = 0; i < values.length; i += 1) {
      if (values[i] != null && values[i - 1] == null && values[i + 1] == null) found.push(i);
    }
    return found;
  };

  const marks = (colour) => ({
    hooks: {
      drawClear: (plot) => {
        // Spans in which the device's clock was not certain: hatched, and said in words under the cursor.
        const { ctx, bbox } = plot;
        ctx.save();
        ctx.strokeStyle = colour("line");
        ctx.lineWidth = devicePixelRatio;
        for (const [from, to] of data.uncertain) {
          const left = Math.max(bbox.left, plot.valToPos(from, "x", true));
          const right = Math.min(bbox.left + bbox.width, plot.valToPos(to, "x", true));
          if (right <= left) continue;
          ctx.save();
          ctx.beginPath();
          ctx.rect(left, bbox.top, right - left, bbox.height);
          ctx.clip();
          ctx.beginPath();
          for (let x = left - bbox.height; x < right; x += 8 * devicePixelRatio) {
            ctx.moveTo(x, bbox.top + bbox.height);
            ctx.lineTo(x + bbox.height, bbox.top);
          }
          ctx.stroke();
          ctx.restore();
        }
        ctx.restore();
      },
      draw: (plot) => {
        const { ctx, bbox } = plot;
        const ratio = devicePixelRatio;
        ctx.save();
        ctx.beginPath();
        ctx.rect(bbox.left, bbox.top - 8 * ratio, bbox.width, bbox.height + 16 * ratio);
        ctx.clip();
        for (const event of data.events) {
          const x = Math.round(plot.valToPos(event.t, "x", true)) + 0.5;
          if (x < bbox.left || x > bbox.left + bbox.width) continue;
          const ink = colour(event.severity === "critical" ? "failing" : event.severity === "warning" ? "slow" : "unknown");
          ctx.strokeStyle = alpha(ink, 0.55);
          ctx.lineWidth = ratio;
          ctx.setLineDash([3 * ratio, 3 * ratio]);
          ctx.beginPath();
          ctx.moveTo(x, bbox.top);
          ctx.lineTo(x, bbox.top + bbox.height);
          ctx.stroke();
          ctx.setLineDash([]);
          ctx.fillStyle = ink;
          const y = bbox.top + bbox.height;
          const r = 5 * ratio;
          ctx.beginPath();
          ctx.moveTo(x, y - r);
          ctx.lineTo(x + r, y + r * 0.6);
          ctx.lineTo(x - r, y + r * 0.6);
          ctx.fill();
        }
        ctx.restore();
      },
    },
  });

  let plots = [];
  const columns = (chart) => [data.time, ...chart.series.map((series) => series.values)];
  const write = (index) => {
    for (const { read } of plots) read.replaceChildren();
    for (const { chart, read } of plots) {
      let from = index;
      if (from === null) {
        // Without a cursor: the newest known figures.
        from = data.time.length - 1;
        while (from > 0 && chart.series.every((series) => series.values[from] == null)) from -= 1;
      }
      const parts = chart.series.map((series, index) => {
        const part = document.createElement("span");
        const key = document.createElement("i");
        key.className = `key ${chart.kind === "bars" ? (chart.alarm ? "bar" : "bar calm")
          : chart.kind === "band" && index === 1 ? "edge" : `k${index}`}`;
        part.append(key, `${series.label} ${figure(series.values[from], chart.unit)}`);
        return part;
      });
      read.append(...parts);
    }
    at.classList.toggle("now", index === null);
    if (index === null) return;
    const time = data.time[index];
    const near = data.events.filter((event) => event.t >= time - data.step / 2 && event.t < time + data.step * 1.5);
    const doubtful = data.uncertain.some(([from, to]) => time >= from && time < to);
    const notes = [...(doubtful ? ["the device's clock was not certain"] : []), ...near.map((event) => event.text)];
    at.textContent = [moment(time), ...notes].join(" · ");
  };

  const draw = () => {
    for (const { plot } of plots) plot.destroy();
    plots = [];
    const colour = style();
    const font = `12px ${getComputedStyle(document.body).fontFamily}`;
    const grid = { stroke: colour("line"), width: 1 };
    const axis = { stroke: colour("soft"), font, grid, ticks: { show: false } };
    for (const figureElement of document.querySelectorAll("[data-chart]")) {
      const canvas = figureElement.querySelector(".canvas");
      const read = figureElement.querySelector(".read");
      canvas.replaceChildren();
      const wanted = figureElement.dataset.chart.split(" ");
      wanted.forEach((key, place) => {
        const chart = data.charts.find((one) => one.key === key);
        if (!chart) return;
        const bars = chart.kind === "bars";
        const under = place > 0;
        const lines = chart.series.map((series, index) => {
          const ink = colour(!bars ? INKS[index % INKS.length] : chart.alarm ? "failing" : "unknown");
          const edge = chart.kind === "band" && index === 1;
          return {
            label: series.label,
            stroke: edge ? alpha(colour("accent"), 0.35) : bars ? undefined : ink,
            fill: bars ? alpha(ink, chart.alarm ? 0.9 : 0.5) : undefined,
            width: edge ? 1 : 1.75,
            dash: chart.kind === "line" ? DASHES[index] : undefined,
            paths: bars ? uPlot.paths.bars({ size: [0.8, 14], gap: 0 }) : undefined,
            points: bars ? { show: false } : { show: true, size: 5, fill: ink, filter: (plot, one) => alone(plot, one) },
            spanGaps: false,
          };
        });
        const options = {
          width: canvas.clientWidth,
          height: under ? 56 : 148,
          padding: [8, 4, 0, 0],
          legend: { show: false },
          cursor: {
            y: false,
            sync: { key: "device" },
            points: { size: 7 },
            drag: { x: !under, y: false, setScale: false, dist: 8 },
          },
          select: { show: true, left: 0, top: 0, width: 0, height: 0 },
          scales: {
            x: { time: true, range: () => [data.start, data.end] },
            y: {
              range: (plot, low, high) => {
                if (low == null) return [0, 1];
                if (chart.zero) {
                  const top = chart.top ?? 0;
                  return [0, Math.max(top, high * 1.08) || 1];
                }
                const room = Math.max((high - low) * 0.15, 2);
                return [Math.max(0, low - room), high + room];
              },
            },
          },
          axes: [
            {
              ...axis,
              size: under ? 4 : 24,
              space: 72,
              values: (plot, splits) => under ? splits.map(() => "") : splits.map((seconds) => {
                const date = new Date(seconds * 1000);
                return date.getHours() === 0 && date.getMinutes() === 0 ? day(date) : clock(date);
              }),
            },
            {
              ...axis,
              size: 64,
              space: under ? 18 : 36,
              incrs: chart.whole ? [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 1e4, 1e5, 1e6] : chart.unit === "By" ? BINARY : undefined,
              values: (plot, splits) => splits.map((value) => tick(value, chart.unit)),
            },
          ],
          series: [{}, ...lines],
          bands: chart.kind === "band" ? [{ series: [2, 1], fill: alpha(colour("accent"), 0.16) }] : [],
          plugins: [marks(colour)],
          hooks: {
            setCursor: [(plot) => write(plot.cursor.left < 0 ? null : (plot.cursor.idx ?? null))],
            setSelect: [(plot) => {
              if (plot.select.width < 8) return;
              const from = Math.floor(plot.posToVal(plot.select.left, "x"));
              const to = Math.ceil(plot.posToVal(plot.select.left + plot.select.width, "x"));
              const address = new URL(location.href);
              address.search = new URLSearchParams({ from: from * 1000, to: to * 1000 });
              location.assign(address);
            }],
          },
        };
        plots.push({ chart, read, plot: new uPlot(options, columns(chart), canvas) });
        // The canvas is a picture of the table below, which a screen reader reads instead.
        canvas.lastElementChild.setAttribute("aria-hidden", "true");
      });
    }
    write(null);
  };
  draw();

  let width = innerWidth;
  let timer = 0;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    clearTimeout(timer);
    timer = setTimeout(draw, 150);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

  document.addEventListener("stonechat:fresh", (event) => {
    const fresh = event.detail.getElementById("chart-data");
    if (!fresh || fresh.textContent === holder.textContent) return;
    const next = JSON.parse(fresh.textContent);
    const same = next.charts.map((chart) => chart.key).join() === data.charts.map((chart) => chart.key).join();
    holder.textContent = fresh.textContent;
    data = next;
    if (!same) { location.reload(); return; }
    for (const one of plots) {
      one.chart = data.charts.find((chart) => chart.key === one.chart.key);
      one.plot.setData(columns(one.chart));
    }
    if (plots.every(({ plot }) => plot.cursor.left < 0)) write(null);
  });
})();
