// What a page asked the server for: its value, or its error; reload() asks again and keeps showing the old value meanwhile.
import { useCallback, useEffect, useRef, useState } from "react";

export interface Loaded<T> {
  value?: T;
  error?: unknown;
  loading: boolean;
  reload: () => void;
}

export function useLoad<T>(load: () => Promise<T>, dependencies: readonly unknown[]): Loaded<T> {
  const [state, setState] = useState<{ value?: T; error?: unknown; loading: boolean }>({ loading: true });
  const turn = useRef(0);
  const run = useCallback(() => {
    const mine = ++turn.current;
    setState((old) => ({ ...old, loading: true }));
    load().then(
      (value) => mine === turn.current && setState({ value, loading: false }),
      (error) => mine === turn.current && setState((old) => ({ ...old, error, loading: false })),
    );
    // `load` is a fresh closure at every render; what it depends on is named by the caller.
  }, dependencies);
  useEffect(() => {
    run();
    return () => {
      ++turn.current;
    };
  }, [run]);
  return { ...state, reload: run };
}
