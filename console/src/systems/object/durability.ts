// The durability model that the server uses too (kernel/blob/durability.h): failures are independent at a constant rate, time is cut
// into windows as long as one repair, and data is lost in a window in which more than m of k + m drives fail. The plot computes its
// curves here, one point a pixel; the browser test holds them against the server's own figures.
const HOURS_PER_YEAR = 365.25 * 24;

export function annualNines(k: number, m: number, failureRate: number, repairHours: number): number {
  const units = k + m;
  const windows = Math.max(1, HOURS_PER_YEAR / repairHours);
  const fails = Math.min(1 - 1e-12, failureRate / windows);
  let term = Math.pow(1 - fails, units);
  let tail = 0;
  for (let failures = 1; failures <= units; ++failures) {
    term *= (((units - failures + 1) / failures) * fails) / (1 - fails);
    if (failures > m) tail += term;
  }
  return -Math.log10(-Math.expm1(windows * Math.log1p(-Math.min(tail, 1))));
}
