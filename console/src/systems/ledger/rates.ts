// What moves in the ledger, for its page and for the home page.
import type { SystemRates } from "../../app/rates";
import type { LiveSample } from "./api";

export const rates: SystemRates<LiveSample> = {
  topic: "ledger.live",
  countersOf: (value) => ({ transfers: value.transfers, syncs: value.journal_syncs }),
  charts: [{ title: "Ledger, transfers", unit: "count", series: [{ label: "transfers", color: 3, counters: ["transfers"] }] }],
};
