// What moves in the exchange, for its page and for the home page.
import type { SystemRates } from "../../app/rates";
import type { LiveSample } from "./api";

export const rates: SystemRates<LiveSample> = {
  topic: "exchange.live",
  countersOf: (value) => ({
    requests: Number(value.requests),
    reports: Number(value.reports),
    trades: Number(value.trades),
    journal: Number(value.journal_bytes),
    syncs: Number(value.syncs),
  }),
  charts: [
    {
      title: "Exchange",
      unit: "count",
      series: [
        { label: "requests", color: 1, counters: ["requests"] },
        { label: "trades", color: 3, dash: [6, 4], counters: ["trades"] },
      ],
    },
  ],
};
