// The time series chart of the console (uPlot): colours from the tokens, width from its place, redrawn when theme or data change.
// The legend above it carries names and present values as text, so that neither colour nor canvas is the only way to read it.
import { useEffect, useRef, useState } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

export interface Series {
  label: string;
  color: 1 | 2 | 3 | 4;
  dash?: number[];
}

interface ChartProps {
  label: string;
  // x first (seconds since 1970, or any number with `xFormat`), then one array a series.
  data: (number | null)[][];
  series: Series[];
  format: (value: number) => string;
  height?: number;
  xFormat?: (value: number) => string;
  xLog?: boolean;
  xRange?: [number, number];
  // Of the y axis; otherwise from zero to the largest value.
  yRange?: [number, number];
  axisWidth?: number;
  // Ticks of the y axis at powers of two: for bytes.
  binary?: boolean;
  // Upright lines with a word at their top.
  marks?: { x: number; label: string }[];
}

const POWERS_OF_TWO = Array.from({ length: 50 }, (_, power) => 2 ** power);

function drawMarks(plot: uPlot, marks: { x: number; label: string }[], line: string, text: string, font: string): void {
  const { ctx, bbox } = plot;
  const ratio = devicePixelRatio;
  ctx.save();
  ctx.strokeStyle = line;
  ctx.fillStyle = text;
  ctx.font = font.replace(/^(\d+)px/, (_, size: string) => `${Number(size) * ratio}px`);
  ctx.textBaseline = "top";
  for (const { x, label } of marks) {
    const at = Math.round(plot.valToPos(x, "x", true));
    if (at < bbox.left || at > bbox.left + bbox.width) continue;
    ctx.setLineDash([2 * ratio, 3 * ratio]);
    ctx.beginPath();
    ctx.moveTo(at, bbox.top);
    ctx.lineTo(at, bbox.top + bbox.height);
    ctx.stroke();
    const toLeft = at > bbox.left + bbox.width * 0.7;
    ctx.textAlign = toLeft ? "right" : "left";
    ctx.fillText(label, at + (toLeft ? -4 : 4) * ratio, bbox.top + 2 * ratio);
  }
  ctx.restore();
}

const token = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// A token as the canvas needs it: one colour, not a choice of two.
function colorOf(name: string): string {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const color = getComputedStyle(probe).color;
  probe.remove();
  return color;
}
const faint = (color: string): string => color.replace(/^rgb\(/, "rgba(").replace(/\)$/, ", 0.13)");

// Changes when the theme does.
function useTheme(): string {
  const read = () => colorOf("--ground");
  const [ground, setGround] = useState(read);
  useEffect(() => {
    const update = () => setGround(read());
    const media = matchMedia("(prefers-color-scheme: dark)");
    media.addEventListener("change", update);
    const observer = new MutationObserver(update);
    observer.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    return () => {
      media.removeEventListener("change", update);
      observer.disconnect();
    };
  }, []);
  return ground;
}

export function SeriesMark({ color, dash }: { color: number; dash?: number[] | undefined }) {
  return (
    <svg width="18" height="6" aria-hidden="true">
      <line x1="0" y1="3" x2="18" y2="3" stroke={`var(--series-${color})`} strokeWidth="2.5" strokeDasharray={dash?.join(" ")} />
    </svg>
  );
}

export function Chart(props: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot>(undefined);
  const latest = useRef(props);
  latest.current = props;
  const theme = useTheme();
  const shape = props.series.map((one) => one.label).join("\n");
  const height = props.height ?? 140;

  useEffect(() => {
    const element = place.current;
    if (!element) return;
    const text = colorOf("--text-soft");
    const line = colorOf("--line");
    const font = `11px ${token("--font")}`;
    const axis = { stroke: text, font, grid: { stroke: line, width: 1 }, ticks: { show: false } };
    const { xFormat, xLog, axisWidth, binary } = latest.current;
    const plot = new uPlot(
      {
        width: Math.max(120, element.clientWidth),
        height,
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
        padding: [8, 8, 0, 0],
        scales: {
          x: {
            time: !xFormat,
            distr: xLog ? 3 : 1,
            range: (_, min, max) => latest.current.xRange ?? [min, max],
          },
          y: { range: (_, __, max) => latest.current.yRange ?? [0, max > 0 ? max * 1.1 : 1] },
        },
        axes: [
          {
            ...axis,
            size: 26,
            space: xFormat ? 70 : 48,
            values: xFormat
              ? (_, ticks) => ticks.map((tick) => (tick === null ? "" : xFormat(tick)))
              : (_, ticks) =>
                  ticks.map((tick) => {
                    const time = new Date(tick * 1000);
                    const two = (value: number): string => String(value).padStart(2, "0");
                    const seconds = time.getSeconds();
                    return `${time.getHours()}:${two(time.getMinutes())}${seconds ? `:${two(seconds)}` : ""}`;
                  }),
          },
          { ...axis, size: axisWidth ?? 66, space: 32, ...(binary && { incrs: POWERS_OF_TWO }), values: (_, ticks) => ticks.map((tick) => latest.current.format(tick)) },
        ],
        series: [
          {},
          ...latest.current.series.map((one) => ({
            label: one.label,
            stroke: colorOf(`--series-${one.color}`),
            width: 1.75,
            ...(one.dash && { dash: one.dash }),
            points: { show: false },
            fill: latest.current.series.length === 1 ? faint(colorOf(`--series-${one.color}`)) : undefined,
          })),
        ] as uPlot.Series[],
        hooks: { draw: [(plot) => drawMarks(plot, latest.current.marks ?? [], colorOf("--line-strong"), text, font)] },
      },
      latest.current.data as uPlot.AlignedData,
      element,
    );
    chart.current = plot;
    const observer = new ResizeObserver(() => plot.setSize({ width: Math.max(120, element.clientWidth), height }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      plot.destroy();
      chart.current = undefined;
    };
  }, [theme, shape, height]);

  useEffect(() => {
    chart.current?.setData(props.data as uPlot.AlignedData);
  }, [props.data, props.xRange, props.yRange]);
  const marks = props.marks?.map((mark) => `${mark.x} ${mark.label}`).join("\n");
  useEffect(() => chart.current?.redraw(), [marks]);

  return <div className="chart" ref={place} role="img" aria-label={props.label} style={{ height }} />;
}
