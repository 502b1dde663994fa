import { localTime, utcTime } from "./format";

export function Time({ at }: { at: string | number | Date }) {
  const time = new Date(at);
  if (Number.isNaN(time.getTime())) return <span>unknown</span>;
  return (
    <time dateTime={time.toISOString()} title={utcTime(time)} className="number">
      {localTime(time)}
    </time>
  );
}
