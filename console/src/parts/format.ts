// Numbers and times as people read them: a thin space between thousands and before a unit, three significant digits.

export const THIN = "\u2009";

export function count(value: number): string {
  const whole = Math.round(value);
  return Math.abs(whole)
    .toString()
    .replace(/\B(?=(\d{3})+(?!\d))/g, THIN)
    .replace(/^/, whole < 0 ? "−" : "");
}

function significant(value: number): string {
  if (value === 0) return "0";
  const absolute = Math.abs(value);
  if (absolute >= 100) return count(value);
  return value.toFixed(absolute >= 10 ? 1 : 2).replace(/\.?0+$/, "");
}

const BINARY = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

export function bytes(value: number): string {
  let unit = 0;
  let scaled = value;
  while (Math.abs(scaled) >= 1024 && unit < BINARY.length - 1) {
    scaled /= 1024;
    ++unit;
  }
  return `${unit === 0 ? count(scaled) : significant(scaled)}${THIN}${BINARY[unit]}`;
}

export function bytesPerSecond(value: number): string {
  return `${bytes(value)}/s`;
}

export function perSecond(value: number): string {
  return `${value > 0 && value < 100 ? significant(value) : count(value)}${THIN}/s`;
}

export function percent(share: number): string {
  return `${significant(share * 100)}${THIN}%`;
}

export function duration(seconds: number): string {
  if (seconds === 0) return `0${THIN}s`;
  if (seconds < 1e-3) return `${significant(seconds * 1e6)}${THIN}µs`;
  if (seconds < 1) return `${significant(seconds * 1e3)}${THIN}ms`;
  if (seconds < 120) return `${significant(seconds)}${THIN}s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}${THIN}min ${Math.floor(seconds % 60)}${THIN}s`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)}${THIN}h ${Math.floor((seconds % 3600) / 60)}${THIN}min`;
  return `${Math.floor(seconds / 86400)}${THIN}d ${Math.floor((seconds % 86400) / 3600)}${THIN}h`;
}

export function plural(number: number, one: string, many = `${one}s`): string {
  return `${count(number)} ${Math.round(number) === 1 ? one : many}`;
}

const pad = (value: number): string => value.toString().padStart(2, "0");

// 14:03:22 today, with the date otherwise; in the reader's own time zone.
export function localTime(time: Date, now = new Date()): string {
  const clock = `${pad(time.getHours())}:${pad(time.getMinutes())}:${pad(time.getSeconds())}`;
  if (time.toDateString() === now.toDateString()) return clock;
  return `${time.getFullYear()}-${pad(time.getMonth() + 1)}-${pad(time.getDate())} ${clock}`;
}

export function utcTime(time: Date): string {
  return time.toISOString().replace("T", " ").replace(/(\.\d+)?Z$/, " UTC");
}
