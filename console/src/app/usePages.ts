// A list that comes page by page: what has come so far, more() for the next page, reload() to begin anew.
import { useEffect, useState } from "react";

export interface Page<Row, Next> {
  rows: Row[];
  next?: Next;
}

export interface Pages<Row> {
  rows?: Row[];
  error?: unknown;
  more?: () => void;
  reload: () => void;
}

export function usePages<Row, Next>(read: (from: Next | undefined) => Promise<Page<Row, Next>>, dependencies: readonly unknown[]): Pages<Row> {
  const [state, setState] = useState<{ rows?: Row[]; next?: Next; error?: unknown }>({});
  const [turn, setTurn] = useState(0);
  const load = async (from: Next | undefined, before: Row[], wanted: () => boolean): Promise<void> => {
    try {
      const page = await read(from);
      if (wanted()) setState({ rows: [...before, ...page.rows], ...(page.next !== undefined && { next: page.next }) });
    } catch (error) {
      if (wanted()) setState((old) => ({ ...old, error }));
    }
  };
  useEffect(() => {
    let current = true;
    void load(undefined, [], () => current);
    return () => {
      current = false;
    };
    // `read` is a fresh closure at every render; what it depends on is named by the caller.
  }, [...dependencies, turn]);
  const { rows, next, error } = state;
  return {
    ...(rows && { rows }),
    error,
    ...(next !== undefined && { more: () => void load(next, rows ?? [], () => true) }),
    reload: () => setTurn((value) => value + 1),
  };
}
