// One setting of a bucket: its document as it is, and the two ways to change it. The document is read again after each change.
import { useState } from "react";
import { useLoad } from "../../app/useLoad";
import * as settings from "./settings";
import type { Setting } from "./settings";

export interface UsedSetting {
  document: string | undefined;
  loading: boolean;
  busy: boolean;
  error: unknown;
  // False if it was refused; the error says why.
  save: (document: string) => Promise<boolean>;
  remove: () => Promise<boolean>;
}

export function useSetting(bucket: string, setting: Setting): UsedSetting {
  // An absent document is wrapped, so that "none" can be told from "not loaded".
  const loaded = useLoad(async () => ({ document: await settings.read(bucket, setting) }), [bucket, setting]);
  const [refused, setRefused] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const act = async (work: () => Promise<void>): Promise<boolean> => {
    setRefused(undefined);
    setBusy(true);
    try {
      await work();
      loaded.reload();
      return true;
    } catch (reason) {
      setRefused(reason);
      return false;
    } finally {
      setBusy(false);
    }
  };
  return {
    document: loaded.value?.document,
    loading: !loaded.value && loaded.loading,
    busy,
    error: refused ?? loaded.error,
    save: (document) => act(() => settings.write(bucket, setting, document)),
    remove: () => act(() => settings.remove(bucket, setting)),
  };
}
