// What every part of the page knows: the ledgers with their assets and sums, and the port that clients speak to.
import { usePort } from "../../app/usePort";
import { useTopic, type TopicState } from "../../parts/live";
import type { LedgerTotals, LiveSample, TrialSample } from "./api";

export const useTrial = (): TopicState<TrialSample> => useTopic<TrialSample>("ledger.trial");
export const useLive = (): TopicState<LiveSample> => useTopic<LiveSample>("ledger.live");

export function useLedgers(): Record<string, LedgerTotals> | undefined {
  return useTrial().value?.ledgers;
}

// In order; the lab's books are left out where `lab` is false.
export function listOf(ledgers: Record<string, LedgerTotals> | undefined, lab = true): LedgerTotals[] {
  return Object.values(ledgers ?? {})
    .filter((one) => lab || !one.lab)
    .sort((a, b) => a.ledger - b.ledger);
}

export function ledgerTitle(one: { ledger: number; asset: string; lab?: boolean }): string {
  if (one.lab) return `Ledger ${one.ledger} (contention lab)`;
  return one.asset ? `${one.asset} (ledger ${one.ledger})` : `Ledger ${one.ledger}`;
}

export const useTigerBeetlePort = (): number => usePort("ledger", "tigerbeetle", 3000);
