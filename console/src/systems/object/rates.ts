// What moves in the object store, for its page and for the home page.
import type { SystemRates } from "../../app/rates";
import type { GridSample } from "./api";

export const rates: SystemRates<GridSample> = {
  topic: "object.grid",
  countersOf: (value) => ({
    requests: value.requests,
    received: value.received_bytes,
    sent: value.sent_bytes,
    degraded: value.blob.degraded_reads,
    rebuilt: value.blob.repaired_units,
  }),
  charts: [
    { title: "Object store, requests", unit: "count", series: [{ label: "requests", color: 1, counters: ["requests"] }] },
    {
      title: "Object store, transfer",
      unit: "bytes",
      series: [
        { label: "in", color: 1, counters: ["received"] },
        { label: "out", color: 2, dash: [6, 4], counters: ["sent"] },
      ],
    },
  ],
};
