// What moves in the event log, for its page and for the home page.
import type { SystemRates } from "../../app/rates";
import type { LiveSample } from "./api";

export const rates: SystemRates<LiveSample> = {
  topic: "stream.live",
  countersOf: (value) => ({
    produced: value.produced_bytes,
    records: value.produced_records,
    sendfile: value.sendfile_bytes,
    copied: value.copied_bytes,
  }),
  charts: [
    {
      title: "Event log, bytes",
      unit: "bytes",
      series: [
        { label: "produced", color: 1, counters: ["produced"] },
        { label: "fetched", color: 3, dash: [6, 4], counters: ["sendfile", "copied"] },
      ],
    },
  ],
};
